//! How a reverse proxy names the request that it asks `/api/verify` about.

use std::fmt;

/// Where the proxy writes the method, the host and the path of the original request. Each proxy has
/// one way, and passes on what a client sent in the other ways; so exactly one is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardAuthHeaders {
    /// `X-Forwarded-Method`, `X-Forwarded-Host` and `X-Forwarded-Uri`: Caddy, Traefik.
    XForwarded,
    /// `X-Original-Method`, `X-Original-URI` and `Host`: nginx.
    XOriginalUri,
    /// `X-Original-Method` and `X-Original-URL`, which is an absolute URL: ingress-nginx.
    XOriginalUrl,
    /// The method and the host of the question itself, and its path behind `/api/verify`: Envoy's
    /// HTTP `ext_authz` with `path_prefix: /api/verify`. The query is the original request's too.
    Envoy,
}

impl ForwardAuthHeaders {
    /// The value that the setting `forward_auth_headers` spells; none if it is no such value.
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

/// Reads on from "the proxy names the original request in …".
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
