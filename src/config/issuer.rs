use std::fmt;

/// The URL by which clients reach and identify the server (RFC 8414, section 2): `http` or `https`, a
/// host, and optionally a port and a path. It is stored as given, because clients compare it character by
/// character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(Box<str>);

impl Issuer {
    /// Parses a URL. `None` if it has anything else, such as a query, a fragment, a user or a slash at its
    /// end.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        (is_authority(authority) && is_path(path)).then(|| Self(text.into()))
    }

    /// The URL's characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether this is a host name, an IPv4 address or a bracketed IPv6 address, with or without a port.
fn is_authority(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            address.contains(':')
                && address.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether this is empty or consists of `/segment`s. Segments must not be empty, `.` or `..`, because
/// clients would resolve them.
fn is_path(path: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte);
    path.split('/')
        .skip(1)
        .all(|segment| !["", ".", ".."].contains(&segment) && segment.bytes().all(is_legal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_told_from_other_strings() {
        for good in [
            "https://auth.example.org",
            "http://localhost:8080",
            "https://[2001:db8::1]:8443",
            "http://[::1]",
            "https://example.org/auth/v1",
        ] {
            assert_eq!(Issuer::parse(good).as_ref().map(Issuer::as_str), Some(good));
        }
        for bad in [
            "",
            "auth.example.org",
            "ftp://a",
            "HTTPS://a",
            "https://",
            "https://:1",
            "https://a:",
            "https://a:0",
            "https://a:70000",
            "https://a:+1",
            "https://a/",
            "https://a/b/",
            "https://a//b",
            "https://a/../b",
            "https://a?b",
            "https://a/b?c",
            "https://a#b",
            "https://a/%62",
            "https://u@a",
            "https://a..b",
            "https://a b",
            "https://[::1",
            "https://[::1]1",
            "https://[a]",
        ] {
            assert_eq!(Issuer::parse(bad), None, "{bad}");
        }
    }
}
