//! The host of a request, and the hosts of an access rule.

use std::fmt;

use super::comparison::Comparison;

/// The host of a request, without its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    name: String,
    /// Whether it ends with a dot: the same name in DNS, but another name for some servers.
    is_dotted: bool,
}

impl Host {
    /// Parses a `Host` header: one host, with or without a port.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let name = match (text.rsplit_once(':'), text.ends_with(']')) {
            (Some((name, port)), false) => (port.len() <= 5
                && port.bytes().all(|byte| byte.is_ascii_digit()))
            .then_some(name)?,
            _ => text,
        };
        let plain = name.strip_suffix('.').unwrap_or(name);
        let is_host = is_name(plain) || is_ipv6(name);
        let (name, is_dotted) = (plain.to_ascii_lowercase(), plain.len() < name.len());
        is_host.then_some(Self { name, is_dotted })
    }
}

/// Splits an absolute `http` or `https` URL into its host, with its port if it has one, and its path and
/// query, as they are spelled. `None` for anything else, also for a URL without a path or with a user before
/// the host, because servers differ about these.
pub fn split_url(url: &[u8]) -> Option<(&str, &[u8])> {
    let rest = url.strip_prefix(b"https://").or_else(|| url.strip_prefix(b"http://"))?;
    let slash = rest.iter().position(|&byte| byte == b'/')?;
    let (host, target) = rest.split_at(slash);
    let host = str::from_utf8(host).ok()?;
    Host::parse(host).map(|_| (host, target))
}

/// The hosts that a rule matches: one host, or all subdomains of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// The name in lower case; after a `*`, it begins with a dot.
    name: Box<str>,
    is_open: bool,
}

/// A string is not a valid [`HostPattern`]. The message continues "allowed is …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a host without port, such as app.example.org or [::1], or *. before one, for every host below \
     it"
)]
pub struct HostError;

impl HostPattern {
    /// Parses a host, or `*.` and a host, which matches all subdomains at any depth, but not the host itself.
    /// International names are spelled as in requests (`xn--…`), IPv6 addresses in brackets and in their
    /// shortest form.
    ///
    /// # Errors
    /// [`HostError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let name = text.strip_prefix('*');
        let is_right = match name {
            Some(name) => name.strip_prefix('.').is_some_and(is_name),
            None => is_name(text) || is_ipv6(text),
        };
        let pattern = Self {
            name: name.unwrap_or(text).to_ascii_lowercase().into(),
            is_open: name.is_some(),
        };
        if is_right { Ok(pattern) } else { Err(HostError) }
    }

    /// Whether the pattern matches `host`.
    pub(super) fn matches(&self, host: &Host, comparison: Comparison) -> bool {
        let is_named = match self.is_open {
            true => host.name.ends_with(&*self.name),
            false => *host.name == *self.name,
        };
        is_named && (comparison == Comparison::Loose || !host.is_dotted)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_open { "*" } else { "" };
        write!(f, "{star}{}", self.name)
    }
}

fn is_name(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    name.len() <= 253
        && name.split('.').all(|label| !label.is_empty() && label.bytes().all(is_legal))
}

fn is_ipv6(name: &str) -> bool {
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).is_some_and(|address| {
        address.contains(':')
            && address.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_the_hosts_that_it_spells() {
        use Comparison::{Loose, Strict};
        for (pattern, host, comparison, expected) in [
            ("app.example.org", "app.example.org", Strict, true),
            ("App.Example.ORG", "aPP.example.org", Strict, true),
            ("app.example.org", "app.example.org:8443", Strict, true),
            ("app.example.org", "app.example.org:", Strict, true),
            ("app.example.org", "app.example.org.", Strict, false),
            ("app.example.org", "app.example.org.", Loose, true),
            ("app.example.org", "app.example.org.:80", Loose, true),
            ("app.example.org", "xapp.example.org", Loose, false),
            ("app.example.org", "app.example.org.evil.example", Loose, false),
            ("*.example.org", "app.example.org", Strict, true),
            ("*.example.org", "a.b.example.org:80", Strict, true),
            ("*.example.org", "example.org", Loose, false),
            ("*.example.org", "badexample.org", Loose, false),
            ("[::1]", "[::1]", Strict, true),
            ("[2001:DB8::1]", "[2001:db8::1]:8443", Strict, true),
            ("[::1]", "[::2]", Loose, false),
            ("127.0.0.1", "127.0.0.1:80", Strict, true),
            ("my_host", "my_host", Strict, true),
        ] {
            let host = Host::parse(host).unwrap();
            let pattern = HostPattern::parse(pattern).unwrap();
            assert_eq!(
                pattern.matches(&host, comparison),
                expected,
                "{pattern} {host:?} {comparison:?}"
            );
        }
    }

    #[test]
    fn what_is_not_one_host_is_refused() {
        let long = "a.".repeat(130);
        for text in [
            "",
            ".",
            ":80",
            "a..b",
            "a.org..",
            ".a.org",
            "a.org,b.org",
            "a.org, b.org",
            "a.org b.org",
            " a.org",
            "a.org:80:80",
            "a.org:http",
            "a.org:-1",
            "a.org:123456",
            "a.org/",
            "a.org\\",
            "a.org?",
            "u@a.org",
            "a%2eorg",
            "é.org",
            "*.a.org",
            "::1",
            "[::1",
            "[::1]x",
            "[::1].",
            "[]",
            "[a]",
            "[::1%25eth0]",
            &long,
        ] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_url_is_split_into_its_host_and_what_the_client_asked_for() {
        for (url, host, target) in [
            ("https://a.org/", "a.org", "/"),
            ("http://a.org:8080/b?c=/d", "a.org:8080", "/b?c=/d"),
            ("https://[::1]:443//b/../c", "[::1]:443", "//b/../c"),
            ("https://a.org/http://b.org/", "a.org", "/http://b.org/"),
        ] {
            assert_eq!(split_url(url.as_bytes()), Some((host, target.as_bytes())), "{url}");
        }
        for url in [
            "",
            "/b",
            "a.org/b",
            "//a.org/b",
            "ftp://a.org/b",
            "HTTPS://a.org/b",
            "https:/a.org/b",
            "https:///b",
            "https://a.org",
            "https://a.org?/b",
            "https://a.org#/b",
            "https://a.org\\/b",
            "https://u@a.org/b",
            "https://a.org, https://b.org/b",
            " https://a.org/b",
        ] {
            assert_eq!(split_url(url.as_bytes()), None, "{url}");
        }
        assert_eq!(split_url(b"https://\xff/b"), None);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "**.a.org",
            "*a.org",
            "a.*.org",
            "*.*.org",
            "a.*",
            "a.org:80",
            "a.org.",
            "https://a.org",
            "é.org",
            "*.[::1]",
            "[::1]:80",
        ] {
            assert_eq!(HostPattern::parse(text), Err(HostError), "{text}");
        }
    }
}
