/// The origins whose pages may read responses in a browser (CORS, as in the Fetch standard).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Only the server's own origin.
    #[default]
    None,
    /// Any origin.
    Any,
    /// These origins, as browsers write them.
    Listed(Vec<String>),
}

impl Origins {
    /// Parses `*`, or a comma-separated list of origins such as `https://app.example.org`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "" => Some(Self::None),
            "*" => Some(Self::Any),
            list => list.split(',').map(origin).collect::<Option<_>>().map(Self::Listed),
        }
    }
}

/// The origin as browsers write it: in lower case, without the scheme's default port.
fn origin(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (authority, None),
    };
    let consists =
        |part: &str, rule: fn(&u8) -> bool| !part.is_empty() && part.as_bytes().iter().all(rule);
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && consists(scheme, |byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => consists(address, |byte| byte.is_ascii_hexdigit() || b":.".contains(byte)),
        None => consists(host, |byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte)),
    };
    let port = match (scheme, port) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    (is_scheme && is_host).then(|| format!("{scheme}://{host}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let listed =
            |list: &[&str]| Origins::Listed(list.iter().map(|&one| one.to_owned()).collect());
        for (text, origins) in [
            ("", Origins::None),
            ("*", Origins::Any),
            ("https://App.example.org:443", listed(&["https://app.example.org"])),
            ("http://[::1]:5173", listed(&["http://[::1]:5173"])),
            ("http://[::1]", listed(&["http://[::1]"])),
            (
                "http://a:443, capacitor://localhost",
                listed(&["http://a:443", "capacitor://localhost"]),
            ),
        ] {
            assert_eq!(Origins::parse(text), Some(origins), "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "example.org",
            "https://",
            "https://a/",
            "https://a/b",
            "https://a:b",
            "https://a:70000",
            "https://u@a",
            "https://*.example.org",
            "https://a,",
            "https://a,*",
            "null",
            "://a",
            "https://a b",
        ] {
            assert_eq!(Origins::parse(text), None, "{text}");
        }
    }
}
