//! The path of a request that access rules decide on, read in the one way that all servers share.

use super::comparison::{Comparison, fold_into, folds_to_delimiter, is_dots_and_blanks};

/// The path of a request that a proxy asks about: decoded once, without empty segments, `.` and
/// `..`; and only if every server in front and behind reads it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath {
    /// Each segment with a slash behind it.
    strict: String,
    /// The same of the folded segments.
    folded: String,
}

/// Why servers may differ about what a path means. Each text is a sentence for whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It begins otherwise than with `/`: nothing, `*`, a whole URL.
    #[error("The path must begin with a slash.")]
    NoSlash,
    /// A `%` without two hex digits behind it.
    #[error("The path has a % that is not followed by two hex digits.")]
    BadEscape,
    /// `%2F`: a slash to those who decode before they split, a character to others.
    #[error("The path has an encoded slash.")]
    EncodedSlash,
    /// A backslash, raw or encoded: a slash to some.
    #[error("The path has a backslash.")]
    Backslash,
    /// A semicolon, raw or encoded: what follows it in a segment is dropped by some.
    #[error("The path has a semicolon.")]
    Semicolon,
    /// `#`, raw or encoded, or an encoded `?`: the path's end to those who read it twice.
    #[error("The path has a # or an encoded question mark.")]
    Delimiter,
    /// A character that normalises to `/ \ ; ? # %` or to dots, such as `％` or `…`, or that Windows
    /// replaces by one of these, such as `¥`.
    #[error("The path has a character that some servers take for a slash, a dot or the like.")]
    Lookalike,
    /// A control character, raw or encoded.
    #[error("The path has a control character.")]
    Control,
    /// A space that is not encoded, in the path or the query. A request line can't have one, but a header
    /// can, if a proxy joined a client's value with its own.
    #[error("The path or the query has a space that is not encoded.")]
    Space,
    /// No UTF-8, or no longer once it is decoded.
    #[error("The path is not UTF-8.")]
    NotUtf8,
    /// Decoded, it has another escape: `%252e`.
    #[error("The path is encoded twice.")]
    EncodedTwice,
    /// It begins with `//`, where some read the name of a host: to them `//x/admin` is `/admin`.
    #[error("The path begins with two slashes.")]
    Authority,
    /// More `..` than segments before them.
    #[error("The path leads above the root.")]
    AboveRoot,
    /// A `..` that takes an empty segment away, or the one before it where slashes are merged.
    #[error("The path has a .. that follows an empty segment.")]
    EmptyParent,
    /// A segment like `...`, `.. ` or `..:x`, of which some systems drop the end.
    #[error("The path has a segment of dots and blanks, alone or before a colon.")]
    Dots,
}

impl RequestPath {
    /// Reads a request's target as the client sent it; the query, behind the first `?`, is ignored.
    ///
    /// # Errors
    /// [`PathError`] if servers may differ about which path that is.
    pub fn parse(target: &[u8]) -> Result<Self, PathError> {
        if target.contains(&b' ') {
            return Err(PathError::Space);
        }
        let raw = target.split(|&byte| byte == b'?').next().unwrap_or_default();
        let decoded = decode(raw)?;
        let segments = resolve(decoded.strip_prefix('/').ok_or(PathError::NoSlash)?)?;
        let mut path = Self {
            strict: String::with_capacity(decoded.len()),
            folded: String::with_capacity(decoded.len()),
        };
        for segment in segments.into_iter().filter(|segment| !segment.is_empty()) {
            path.strict.push_str(segment);
            path.strict.push('/');
            fold_into(&mut path.folded, segment);
            path.folded.push('/');
        }
        Ok(path)
    }

    /// The segments, none of them empty.
    pub(super) fn segments(&self, comparison: Comparison) -> impl Iterator<Item = &str> {
        let text = match comparison {
            Comparison::Strict => &self.strict,
            Comparison::Loose => &self.folded,
        };
        text.split_terminator('/')
    }
}

/// Decodes escapes, once.
fn decode(mut raw: &[u8]) -> Result<String, PathError> {
    let mut bytes = Vec::with_capacity(raw.len());
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
        raw = rest;
    }
    if bytes.windows(3).any(|part| part[0] == b'%' && escaped(part[1], part[2]).is_ok()) {
        return Err(PathError::EncodedTwice);
    }
    let text = String::from_utf8(bytes).map_err(|_| PathError::NotUtf8)?;
    if text.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    if text.contains(folds_to_delimiter) {
        return Err(PathError::Lookalike);
    }
    Ok(text)
}

/// The byte that two hex digits stand for.
fn escaped(high: u8, low: u8) -> Result<u8, PathError> {
    let digit = |byte| char::from(byte).to_digit(16).ok_or(PathError::BadEscape);
    // Two digits are at most 255.
    Ok((digit(high)? << 4 | digit(low)?) as u8)
}

/// The segments of a path, without `.` and `..`, the empty ones among them.
fn resolve(path: &str) -> Result<Vec<&str>, PathError> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => match segments.pop() {
                None => return Err(PathError::AboveRoot),
                // Who merges slashes takes the segment before them away, who doesn't this one.
                Some("") => return Err(PathError::EmptyParent),
                Some(_) => {}
            },
            segment if is_dots_and_blanks(segment) => return Err(PathError::Dots),
            segment => segments.push(segment),
        }
    }
    // One that stands alone is what follows the only slash.
    match segments.as_slice() {
        ["", _, ..] => Err(PathError::Authority),
        _ => Ok(segments),
    }
}

#[cfg(test)]
mod tests {
    use super::PathError::*;
    use super::*;

    fn strict(target: &str) -> Result<String, PathError> {
        RequestPath::parse(target.as_bytes()).map(|path| path.strict)
    }

    #[test]
    fn a_path_is_decoded_once_and_made_plain() {
        for (target, expected) in [
            ("/", ""),
            ("/posts", "posts/"),
            ("/posts/", "posts/"),
            ("/posts/1?a=/../b#c", "posts/1/"),
            ("/posts?", "posts/"),
            ("/?/admin", ""),
            ("/posts///1//", "posts/1/"),
            ("/a/../", ""),
            ("/./posts/./1/.", "posts/1/"),
            ("/a/../posts", "posts/"),
            ("/a/b/../../posts", "posts/"),
            ("/a/..", ""),
            ("/a/%2e%2E/posts", "posts/"),
            ("/a/.%2e/posts/%2e/", "posts/"),
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
            ("//x/../posts", Authority),
            ("/.//posts", Authority),
            ("/x/..//posts", Authority),
            ("/..", AboveRoot),
            ("/../posts", AboveRoot),
            ("/a/../../posts", AboveRoot),
            ("/%2e%2e/posts", AboveRoot),
            ("//../posts", EmptyParent),
            ("/a//../b", EmptyParent),
            ("/a//./../b", EmptyParent),
            ("/a//b/../../c", EmptyParent),
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
