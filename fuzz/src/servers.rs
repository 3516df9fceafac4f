//! How servers read the path of a request: each takes the target as it was sent, and gives the path by which
//! it chooses what to do. `None` is a server's 400.
//!
//! The models never refuse what their originals accept. They are written from the servers' documentation and
//! source, and share no code with bearerd.

/// A server's way to read a path.
pub struct Server {
    pub name: &'static str,
    read: fn(&[u8]) -> Option<Vec<u8>>,
    ignores_case: bool,
}

pub const SERVERS: &[Server] = &[
    server("nginx", |target| resolve(&nginx(target)?, true, Above::Refused)),
    server("nginx, merge_slashes off", |target| resolve(&nginx(target)?, false, Above::Refused)),
    Server { name: "Caddy", read: caddy, ignores_case: true },
    server("Go's ServeMux", |target| resolve(&utf8(decode(path(target))?)?, true, Above::Dropped)),
    server("Apache", |target| apache(target, true)),
    server("Apache, MergeSlashes off", |target| apache(target, false)),
    server("Apache before 2.4.49", |target| {
        let path = decode(before(target, b"?#"))?;
        let is_refused = path.contains(&0) || has_escape(target, b'/');
        (!is_refused).then(|| resolve(&path, true, Above::Dropped))?
    }),
    Server {
        name: "Apache on Windows",
        read: |target| apache(&slashes(target), true),
        ignores_case: true,
    },
    server("WSGI", |target| Some(decode_all(path(target)))),
    server("WSGI and os.path.normpath", |target| {
        resolve(&decode_all(path(target)), true, Above::Dropped)
    }),
    server("urllib.parse.urlsplit", |target| Some(decode_all(&urlsplit(target)))),
    server("urllib.parse.urlparse", |target| {
        // It takes the parameters off the last segment.
        let path = urlsplit(target);
        let last = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        let end =
            path[last..].iter().position(|&byte| byte == b';').map_or(path.len(), |at| last + at);
        Some(decode_all(&path[..end]))
    }),
    server("Node, req.url", |target| Some(canonical(path(target)))),
    server("Node, req.url decoded", |target| utf8(decode(path(target))?)),
    server("Node, path.normalize", |target| {
        resolve(&utf8(decode(path(target))?)?, true, Above::Dropped)
    }),
    server("Node, url.parse", |target| Some(canonical(before(&slashes(target), b"?#")))),
    server("Node, new URL", |target| Some(canonical(&whatwg(target)))),
    server("Node, new URL decoded", |target| utf8(decode(&whatwg(target))?)),
    server("Tomcat", |target| {
        let segments: Vec<_> =
            path(target).split(|&byte| byte == b'/').map(|segment| before(segment, b";")).collect();
        resolve(&decode(&segments.join(&b'/'))?, true, Above::Refused)
    }),
    server("decodes twice", |target| {
        resolve(&decode(&decode(before(target, b"?#"))?)?, true, Above::Dropped)
    }),
];

const fn server(name: &'static str, read: fn(&[u8]) -> Option<Vec<u8>>) -> Server {
    Server { name, read, ignores_case: false }
}

impl Server {
    /// The index of the first of these patterns under which this server's reading of a target falls. `None`
    /// if the server refuses the target, `Some(None)` if no pattern matches.
    pub fn first(&self, patterns: &[String], target: &[u8]) -> Option<Option<usize>> {
        let path = (self.read)(target)?;
        let path = self.fold(&String::from_utf8_lossy(&path));
        Some(patterns.iter().position(|pattern| matches(&self.fold(pattern), &path)))
    }

    fn fold(&self, text: &str) -> String {
        // Go turns İ into i.
        if self.ignores_case { text.replace('İ', "i").to_lowercase() } else { text.to_owned() }
    }
}

/// Whether a path falls under a pattern: `*` is any segment that is not empty, `**` at the end any number of
/// segments. A slash at the end makes no difference.
fn matches(pattern: &str, path: &str) -> bool {
    fn segments(text: &str) -> Option<Vec<&str>> {
        let text = text.strip_prefix('/')?;
        let text = text.strip_suffix('/').unwrap_or(text);
        Some(if text.is_empty() { Vec::new() } else { text.split('/').collect() })
    }
    let (Some(mut pattern), Some(path)) = (segments(pattern), segments(path)) else { return false };
    let is_open = pattern.last() == Some(&"**");
    if is_open {
        pattern.pop();
    }
    let is_long = if is_open { path.len() >= pattern.len() } else { path.len() == pattern.len() };
    let mut pairs = pattern.iter().zip(&path);
    is_long && pairs.all(|(part, segment)| (*part == "*" && !segment.is_empty()) || part == segment)
}

fn before<'a>(text: &'a [u8], ends: &[u8]) -> &'a [u8] {
    &text[..text.iter().position(|byte| ends.contains(byte)).unwrap_or(text.len())]
}

fn path(target: &[u8]) -> &[u8] {
    before(target, b"?")
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// The byte that an escape at the start of a text stands for.
fn escape(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

fn has_escape(text: &[u8], byte: u8) -> bool {
    (0..text.len()).any(|at| escape(&text[at..]) == Some(byte))
}

/// Decodes each escape for which `takes` says so, once. Other text stays.
fn decode_some(text: &[u8], takes: impl Fn(u8) -> bool) -> Vec<u8> {
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < text.len() {
        match escape(&text[at..]).filter(|byte| takes(*byte)) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(text[at]);
                at += 1;
            }
        }
    }
    decoded
}

/// Decodes as Python does: an invalid escape stays as it is.
fn decode_all(text: &[u8]) -> Vec<u8> {
    decode_some(text, |_| true)
}

/// Decodes as most servers do: they refuse an invalid escape.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let is_valid = (0..text.len()).all(|at| text[at] != b'%' || escape(&text[at..]).is_some());
    is_valid.then(|| decode_all(text))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// A path as a server compares it that decodes nothing. Its routes are written as clients send them; so
/// escapes that a client may need are decoded here, and those of unreserved characters (RFC 3986, 2.3), which
/// no client needs, stay.
fn canonical(path: &[u8]) -> Vec<u8> {
    decode_some(path, |byte| !is_unreserved(byte) && byte != b'/')
}

/// What a server does with a `..` above the root.
enum Above {
    Refused,
    Dropped,
}

/// Resolves `.` and `..`.
fn resolve(path: &[u8], merges: bool, above: Above) -> Option<Vec<u8>> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<_> = path.strip_prefix(b"/")?.split(|&byte| byte == b'/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        match *segment {
            b"." | b".." => {
                if *segment == b".." && kept.pop().is_none() && matches!(above, Above::Refused) {
                    return None;
                }
                if is_last {
                    kept.push(b"");
                }
            }
            b"" if merges && !is_last => {}
            segment => kept.push(segment),
        }
    }
    Some([b"/", kept.join(&b'/').as_slice()].concat())
}

fn utf8(path: Vec<u8>) -> Option<Vec<u8>> {
    std::str::from_utf8(&path).is_ok().then_some(path)
}

fn slashes(target: &[u8]) -> Vec<u8> {
    let path = path(target);
    let turn = |&byte: &u8| if byte == b'\\' { b'/' } else { byte };
    path.iter().map(turn).chain(target[path.len()..].iter().copied()).collect()
}

/// nginx decodes before it resolves, so that an encoded slash is one. It answers NUL with 400.
fn nginx(target: &[u8]) -> Option<Vec<u8>> {
    decode(before(target, b"?#")).filter(|path| !path.contains(&0))
}

/// Caddy cleans the decoded path, and drops dots and blanks at its end.
fn caddy(target: &[u8]) -> Option<Vec<u8>> {
    let mut path = resolve(&decode(path(target))?, true, Above::Dropped)?;
    while path.last().is_some_and(|byte| b". ".contains(byte)) {
        path.pop();
    }
    Some(path)
}

/// Apache decodes unreserved characters, resolves, and then decodes the rest. By default it answers encoded
/// slashes with 404.
fn apache(target: &[u8], merges: bool) -> Option<Vec<u8>> {
    let path = decode_some(before(target, b"?#"), is_unreserved);
    let path = resolve(&path, merges, Above::Refused)?;
    let is_refused = has_escape(&path, b'/') || has_escape(&path, 0);
    (!is_refused).then(|| decode(&path))?
}

/// The path of Python's `urlsplit`, which drops tabs and line breaks, and blanks at the start.
fn urlsplit(target: &[u8]) -> Vec<u8> {
    let text = target.iter().copied().skip_while(|byte| *byte <= b' ');
    let text: Vec<u8> = text.filter(|byte| !b"\t\r\n".contains(byte)).collect();
    without_host(before(&text, b"?#")).to_vec()
}

/// The path after `//host`.
fn without_host(text: &[u8]) -> &[u8] {
    match text.strip_prefix(b"//") {
        Some(rest) => &rest[before(rest, b"/").len()..],
        None => text,
    }
}

/// The path of `new URL(target, base)` (WHATWG URL): backslashes are slashes, tabs and line breaks are dropped,
/// `%2e` is a dot, and text after two slashes is a host.
fn whatwg(target: &[u8]) -> Vec<u8> {
    let text: Vec<u8> = slashes(before(target, b"?#"));
    let text: Vec<u8> = text.into_iter().filter(|byte| !b"\t\r\n".contains(byte)).collect();
    let path = without_host(&text);
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<_> =
        path.strip_prefix(b"/").unwrap_or(path).split(|&byte| byte == b'/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        let dots = decode_some(segment, |byte| byte == b'.');
        match dots.as_slice() {
            b"." | b".." => {
                if dots == b".." {
                    kept.pop();
                }
                if is_last {
                    kept.push(b"");
                }
            }
            _ => kept.push(segment),
        }
    }
    [b"/", kept.join(&b'/').as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_read_as_their_originals() {
        let patterns = ["/admin/**".to_owned(), "/**".to_owned()];
        for (target, server, expected) in [
            ("/%61dmin", "nginx", Some(Some(0))),
            ("/%61dmin", "Node, req.url", Some(Some(1))),
            ("/x//../admin", "nginx", Some(Some(0))),
            ("/x//../admin", "nginx, merge_slashes off", Some(Some(1))),
            ("/../admin", "nginx", None),
            ("/../admin", "Caddy", Some(Some(0))),
            ("/ADMIN. ", "Caddy", Some(Some(0))),
            ("/x%2f..%2fadmin", "nginx", Some(Some(0))),
            ("/x%2f..%2fadmin", "Apache", None),
            ("/x/../admin", "WSGI", Some(Some(1))),
            ("//x/admin", "Node, new URL", Some(Some(0))),
            ("/x/%2e%2e/admin", "Node, new URL", Some(Some(0))),
            ("/x\\..\\admin", "Node, new URL", Some(Some(0))),
            ("/admin;x", "urllib.parse.urlparse", Some(Some(0))),
            ("/admin;x/y", "Tomcat", Some(Some(0))),
        ] {
            let server = SERVERS.iter().find(|known| known.name == server).expect(server);
            assert_eq!(
                server.first(&patterns, target.as_bytes()),
                expected,
                "{target} {}",
                server.name
            );
        }
    }
}
