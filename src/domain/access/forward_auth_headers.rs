use std::fmt;

/// Where a reverse proxy puts the method, the host and the path of the original request. Each proxy sets the
/// headers of one row, and passes the other headers on as the client sent them. So only one row is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardAuthHeaders {
    /// `X-Forwarded-Method`, `X-Forwarded-Host` and `X-Forwarded-Uri`: Caddy, Traefik.
    XForwarded,
    /// `X-Original-Method`, `X-Original-URI` and `Host`: nginx.
    XOriginalUri,
    /// `X-Original-Method` and `X-Original-URL`, which is an absolute URL: ingress-nginx.
    XOriginalUrl,
    /// The method and the host of the request to bearerd itself, and its path after `/api/verify`: Envoy's
    /// HTTP `ext_authz` with `path_prefix: /api/verify`. The query belongs to the original request too.
    Envoy,
}

impl ForwardAuthHeaders {
    /// Parses a value of the setting `forward_auth_headers`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "x-forwarded" => Some(Self::XForwarded),
            "x-original-uri" => Some(Self::XOriginalUri),
            "x-original-url" => Some(Self::XOriginalUrl),
            "envoy" => Some(Self::Envoy),
            _ => None,
        }
    }
}

/// Continues "the proxy names the original request in …".
impl fmt::Display for ForwardAuthHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::XForwarded => "X-Forwarded-Method, X-Forwarded-Host and X-Forwarded-Uri",
            Self::XOriginalUri => "X-Original-Method, X-Original-URI and Host",
            Self::XOriginalUrl => "X-Original-Method and X-Original-URL",
            Self::Envoy => "its own method and host, and in its path behind /api/verify",
        })
    }
}
