//! Parses the path of an original request, and refuses paths about which servers may differ.

use super::comparison::{Comparison, fold_into, folds_to_delimiter, is_dots_and_blanks};

/// The path of an original request, as different servers read it. It exists only if they read nearly the
/// same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath {
    /// The first is decoded once and without empty segments. It is the only one, unless the path has an empty
    /// segment or an unnecessary escape.
    readings: Vec<Reading>,
}

/// The segments of a path by one way to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The segments, each followed by a slash.
    strict: String,
    /// The folded segments, each followed by a slash.
    folded: String,
}

/// Why servers may differ about a path. Each message is a sentence for the response to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It doesn't begin with `/`: it is empty, `*` or a whole URL.
    #[error("The path must begin with a slash.")]
    NoSlash,
    /// It has a `%` that is not followed by two hex digits.
    #[error("The path has a % that is not followed by two hex digits.")]
    BadEscape,
    /// It has `%2F`: a slash for servers that decode before they split, a character for others.
    #[error("The path has an encoded slash.")]
    EncodedSlash,
    /// It has a backslash, raw or encoded, which some servers read as a slash.
    #[error("The path has a backslash.")]
    Backslash,
    /// It has a semicolon, raw or encoded. Some servers drop the rest of the segment after it.
    #[error("The path has a semicolon.")]
    Semicolon,
    /// It has a `#`, raw or encoded, or an encoded `?`. For servers that decode twice, the path ends there.
    #[error("The path has a # or an encoded question mark.")]
    Delimiter,
    /// It has a character that normalizes to one of `/ \ ; ? # %` or to dots, such as `％` or `…`, or that
    /// Windows replaces by one of these, such as `¥`.
    #[error("The path has a character that some servers take for a slash, a dot or the like.")]
    Lookalike,
    /// It has a control character, raw or encoded.
    #[error("The path has a control character.")]
    Control,
    /// The path or the query has a space that is not encoded. A request line can't have one, but a header
    /// can, if a proxy joined a client's value with its own.
    #[error("The path or the query has a space that is not encoded.")]
    Space,
    /// It is not UTF-8, before or after decoding.
    #[error("The path is not UTF-8.")]
    NotUtf8,
    /// It has another escape after decoding, such as in `%252e`.
    #[error("The path is encoded twice.")]
    EncodedTwice,
    /// It begins with `//`, after which some servers expect a host: they read `//x/admin` as `/admin`.
    #[error("The path begins with two slashes.")]
    Authority,
    /// It has a segment like `.`, `..`, `.. ` or `..:x`. Some servers resolve `..`, and others take it for a
    /// name; clients resolve it before they send a path. Some systems drop the end of a segment like `.. `.
    #[error("The path has a segment of dots and blanks, alone or before a colon.")]
    Dots,
}

impl RequestPath {
    /// Parses a request's target as the client sent it. The query after the first `?` is ignored, except that
    /// it must not have a space.
    ///
    /// # Errors
    /// [`PathError`] if servers may differ about the path.
    pub fn parse(target: &[u8]) -> Result<Self, PathError> {
        if target.contains(&b' ') {
            return Err(PathError::Space);
        }
        let raw = target.split(|&byte| byte == b'?').next().unwrap_or_default();
        let (decoded, literal) = decode(raw)?;
        let path = decoded.strip_prefix('/').ok_or(PathError::NoSlash)?;
        if path.starts_with('/') {
            return Err(PathError::Authority);
        }
        if path.split('/').any(is_dots_and_blanks) {
            return Err(PathError::Dots);
        }
        // Some servers keep empty segments, and some compare paths without decoding them.
        let has_empty = path.contains("//");
        let spellings = [Some(&decoded), Some(&literal).filter(|literal| **literal != decoded)];
        let readings = spellings.into_iter().flatten().flat_map(|path| {
            let unmerged = has_empty.then(|| Reading::of(path, false));
            std::iter::once(Reading::of(path, true)).chain(unmerged)
        });
        Ok(Self { readings: readings.collect() })
    }

    /// Each way to read the path. There is at least one.
    pub(super) fn readings(&self) -> impl Iterator<Item = &Reading> {
        self.readings.iter()
    }
}

impl Reading {
    /// Splits a path, which begins with a slash. A slash at its end makes no difference.
    fn of(path: &str, merges_slashes: bool) -> Self {
        let mut reading = Self {
            strict: String::with_capacity(path.len()),
            folded: String::with_capacity(path.len()),
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        for segment in path.split('/').skip(1) {
            if !(merges_slashes && segment.is_empty()) {
                reading.strict.push_str(segment);
                reading.strict.push('/');
                fold_into(&mut reading.folded, segment);
                reading.folded.push('/');
            }
        }
        reading
    }

    /// The segments.
    pub(super) fn segments(&self, comparison: Comparison) -> impl Iterator<Item = &str> {
        let text = match comparison {
            Comparison::Strict => &self.strict,
            Comparison::Loose => &self.folded,
        };
        text.split_terminator('/')
    }
}

/// Decodes `%` escapes once: all of them, and all but those of unreserved characters (RFC 3986, 2.3), which no
/// client needs.
fn decode(mut raw: &[u8]) -> Result<(String, String), PathError> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut literal = Vec::with_capacity(raw.len());
    while let [first, rest @ ..] = raw {
        let (byte, rest) = match (first, rest) {
            (b'%', [high, low, rest @ ..]) => (escaped(*high, *low)?, rest),
            (b'%', _) => return Err(PathError::BadEscape),
            (byte, rest) => (*byte, rest),
        };
        match byte {
            b'/' if *first == b'%' => return Err(PathError::EncodedSlash),
            b'\\' => return Err(PathError::Backslash),
            b';' => return Err(PathError::Semicolon),
            b'#' | b'?' => return Err(PathError::Delimiter),
            byte => bytes.push(byte),
        }
        match (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte), raw) {
            (true, [b'%', high, low, ..]) => literal.extend([b'%', *high, *low]),
            _ => literal.push(byte),
        }
        raw = rest;
    }
    if bytes.windows(3).any(|part| part[0] == b'%' && escaped(part[1], part[2]).is_ok()) {
        return Err(PathError::EncodedTwice);
    }
    let utf8 = |bytes| String::from_utf8(bytes).map_err(|_| PathError::NotUtf8);
    let (text, literal) = (utf8(bytes)?, utf8(literal)?);
    if text.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    if text.contains(folds_to_delimiter) {
        return Err(PathError::Lookalike);
    }
    Ok((text, literal))
}

/// The byte with these two hex digits.
fn escaped(high: u8, low: u8) -> Result<u8, PathError> {
    let digit = |byte| char::from(byte).to_digit(16).ok_or(PathError::BadEscape);
    // Two digits are at most 255.
    Ok((digit(high)? << 4 | digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::PathError::*;
    use super::*;

    fn strict(target: &str) -> Result<String, PathError> {
        RequestPath::parse(target.as_bytes()).map(|path| path.readings[0].strict.clone())
    }

    #[test]
    fn a_path_is_decoded_once_and_split() {
        for (target, expected) in [
            ("/", ""),
            ("/posts", "posts/"),
            ("/posts/", "posts/"),
            ("/posts/1?a=/../b#c", "posts/1/"),
            ("/posts?", "posts/"),
            ("/?/admin", ""),
            ("/posts///1//", "posts/1/"),
            ("/%70osts", "posts/"),
            ("/Posts", "Posts/"),
            ("/a%20b+c", "a b+c/"),
            ("/100%25", "100%/"),
            ("/100%25x", "100%x/"),
            ("/caf%C3%A9", "café/"),
            ("/café", "café/"),
            ("/..a/b..", "..a/b../"),
            ("/c/+/1", "c/+/1/"),
            ("/a/:b/c:d", "a/:b/c:d/"),
            ("/.well-known/x", ".well-known/x/"),
            ("/a:b@c,d=e&f$g!h'i(j)*~", "a:b@c,d=e&f$g!h'i(j)*~/"),
        ] {
            assert_eq!(strict(target).as_deref(), Ok(expected), "{target}");
        }
    }

    #[test]
    fn what_servers_read_differently_is_refused() {
        for (target, error) in [
            ("", NoSlash),
            ("?a", NoSlash),
            ("*", NoSlash),
            ("posts", NoSlash),
            ("http://a/posts", NoSlash),
            ("%2fposts", EncodedSlash),
            ("/a%2fb", EncodedSlash),
            ("/a%2Fb", EncodedSlash),
            ("/a\\b", Backslash),
            ("/a%5cb", Backslash),
            ("/a%5Cb", Backslash),
            ("/a;b", Semicolon),
            ("/a%3bb", Semicolon),
            ("/..;/b", Semicolon),
            ("/a#b", Delimiter),
            ("/a%23b", Delimiter),
            ("/a%3Fb", Delimiter),
            ("/public/..%ef%bc%8fadmin/x", Lookalike),
            ("/public/..\u{ff0f}admin/x", Lookalike),
            ("/a\u{2100}b", Lookalike),
            ("/a%ef%bc%bcb", Lookalike),
            ("/a%cd%beb", Lookalike),
            ("/a%e2%81%87b", Lookalike),
            ("/a%ef%b9%9fb", Lookalike),
            ("/a%ef%bc%85%ef%bc%92%ef%bd%85", Lookalike),
            ("/a/%e2%80%a5/b", Lookalike),
            ("/a/%ef%bc%8e./b", Lookalike),
            ("/public/..%c2%a5admin", Lookalike),
            ("/public/..%e2%88%95admin", Lookalike),
            ("/a\u{2026}", Lookalike),
            ("/\u{2488}", Lookalike),
            ("/a%00", Control),
            ("/a\0", Control),
            ("/a%0a", Control),
            ("/a\tb", Control),
            ("/a%7f", Control),
            ("/a%C2%85", Control),
            ("/a b", Space),
            ("/a, /b", Space),
            ("/a?, /b", Space),
            ("/%", BadEscape),
            ("/%2", BadEscape),
            ("/%zz", BadEscape),
            ("/%2?f", BadEscape),
            ("/%u002e", BadEscape),
            ("/%+2", BadEscape),
            ("/%252e", EncodedTwice),
            ("/%25%32%65", EncodedTwice),
            ("/%25252e", EncodedTwice),
            ("/%c0%ae", NotUtf8),
            ("/%c0%af", NotUtf8),
            ("/%e0%80%af", NotUtf8),
            ("/%ed%a0%80", NotUtf8),
            ("/%ff", NotUtf8),
            ("//", Authority),
            ("//posts", Authority),
            ("///posts", Authority),
            ("/.", Dots),
            ("/..", Dots),
            ("/./posts", Dots),
            ("/x/../posts", Dots),
            ("/x/.", Dots),
            ("/x/%2e%2E/posts", Dots),
            ("/x/.%2e?y", Dots),
            ("/...", Dots),
            ("/a/..%20/b", Dots),
            ("/a/.%20/b", Dots),
            ("/a/%20/b", Dots),
            ("/a/.%c2%ad./b", Dots),
            ("/a/.%ef%b8%8f./b", Dots),
            ("/a/.%f3%a0%84%80/b", Dots),
            ("/a/..%c2%a0/b", Dots),
            ("/a/..%e1%9a%80/b", Dots),
            ("/a/..%e2%80%a8/b", Dots),
            ("/a/..+/b", Dots),
            ("/a/.+%2B/b", Dots),
            ("/a/..:/b", Dots),
            ("/a/..::$DATA/b", Dots),
            ("/a/.%20%3a/b", Dots),
        ] {
            assert_eq!(strict(target), Err(error), "{target}");
        }
        assert_eq!(RequestPath::parse(b"/\xff"), Err(NotUtf8));
    }
}
