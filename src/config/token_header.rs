use crate::domain::is_token;

/// The name of a custom request header that contains a token, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHeader(Box<str>);

/// Names that have another meaning in HTTP, for proxies or in this server's responses.
const TAKEN: &[&str] = &[
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "cookie2",
    "date",
    "destination",
    "dnt",
    "early-data",
    "expect",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "keep-alive",
    "last-event-id",
    "link",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "range",
    "referer",
    "remote-user",
    "set-cookie",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "www-authenticate",
    "x-auth-abilities",
    "x-auth-token-id",
    "x-auth-user-id",
    "x-auth-user-name",
    "x-real-ip",
    "x-request-id",
    "x-requested-with",
];

/// Prefixes of names that have another meaning.
const TAKEN_FAMILIES: &[&str] = &[
    "accept",
    "access-control-",
    "content-",
    "if-",
    "proxy-",
    "sec-",
    "x-forwarded-",
    "x-http-method",
    "x-method-override",
    "x-original-",
    "x-rewrite-",
];

impl TokenHeader {
    /// Parses the name of a header: an RFC 9110 token of at most 100 characters. `None` if it is something
    /// else, or a name with another meaning.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.to_ascii_lowercase();
        // Some servers treat `_` and `-` as the same.
        let hyphened = name.replace('_', "-");
        let is_taken = TAKEN.contains(&hyphened.as_str())
            || TAKEN_FAMILIES.iter().any(|family| hyphened.starts_with(family));
        (name.len() <= 100 && is_token(&name) && !is_taken).then(|| Self(name.into()))
    }

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_ones_own_is_told_from_those_that_mean_something_else() {
        for (good, name) in [
            ("X-Api-Token", "x-api-token"),
            ("x-api-key", "x-api-key"),
            ("X-Auth-Token", "x-auth-token"),
            ("PRIVATE-TOKEN", "private-token"),
        ] {
            assert_eq!(TokenHeader::parse(good).as_ref().map(TokenHeader::as_str), Some(name));
        }
        let long = "x".repeat(101);
        for bad in [
            "",
            "X Token",
            "X-Token:",
            "X-Tökén",
            "X-Token\n",
            "Authorization",
            "AUTHORIZATION",
            "Proxy-Authorization",
            "Cookie",
            "Host",
            "Content-Type",
            "X-Forwarded-For",
            "X_Forwarded_For",
            "Forwarded",
            "X-Original-URI",
            "Remote-User",
            "X-Auth-User-Id",
            "Accept",
            &long,
        ] {
            assert_eq!(TokenHeader::parse(bad), None, "{bad}");
        }
    }
}
