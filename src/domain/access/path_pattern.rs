use std::fmt;

use super::comparison::{Comparison, fold_into, folds_to_delimiter, is_dots_and_blanks};
use super::request_path::Reading;

/// The paths that a rule matches: segments between slashes, where `*` matches any one segment, and `**` at
/// the end matches any number of segments, also none. A slash at the end makes no difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
    /// Whether any number of segments may follow.
    is_open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Any,
    Literal { strict: Box<str>, folded: Box<str> },
}

/// Why a string is not a valid [`PathPattern`]. Each message continues "allowed is …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It doesn't begin with `/`.
    #[error("a path that begins with /, such as /posts/**")]
    NoSlash,
    /// It has two slashes in a row.
    #[error("a path with single slashes")]
    EmptySegment,
    /// It has a segment such as `.` or `..`.
    #[error("a path without a segment of dots and blanks, alone or before a colon")]
    Dots,
    /// It has a `*` next to other characters.
    #[error("* as a whole segment, for any one, and ** as the last, for any number")]
    Star,
    /// It has a character that a decoded path can't have, or with which every request is refused.
    #[error(
        "a path as it reads decoded, without %, ?, #, ;, \\, control characters and characters that \
         some servers take for one of these, for / or for dots"
    )]
    Character,
}

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`PatternError`] says what is allowed.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let path = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        if path.chars().any(|c| c.is_control() || "%?#;\\".contains(c) || folds_to_delimiter(c)) {
            return Err(PatternError::Character);
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let (path, is_open) = match path.strip_suffix("**") {
            Some("") => ("", true),
            Some(path) => (path.strip_suffix('/').ok_or(PatternError::Star)?, true),
            None => (path, false),
        };
        // Only these three patterns have no segment before the end or `**`. Others, such as `//`, have an
        // empty one.
        if path.is_empty() && !["/", "/**", "/**/"].contains(&text) {
            return Err(PatternError::EmptySegment);
        }
        let segments = path.split('/').filter(|_| !path.is_empty()).map(Segment::parse);
        Ok(Self { text: text.into(), segments: segments.collect::<Result<_, _>>()?, is_open })
    }

    /// Whether the pattern matches `path`.
    pub(super) fn matches(&self, path: &Reading, comparison: Comparison) -> bool {
        let mut found = path.segments(comparison);
        let begins = self.segments.iter().all(|segment| {
            found.next().is_some_and(|found| match (segment, comparison) {
                // Servers differ about whether such a parameter may be empty.
                (Segment::Any, Comparison::Strict) => !found.is_empty(),
                (Segment::Any, Comparison::Loose) => true,
                (Segment::Literal { strict, .. }, Comparison::Strict) => **strict == *found,
                (Segment::Literal { folded, .. }, Comparison::Loose) => **folded == *found,
            })
        });
        begins && (self.is_open || found.next().is_none())
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        match text {
            "*" => Ok(Self::Any),
            "" => Err(PatternError::EmptySegment),
            text if text.contains('*') => Err(PatternError::Star),
            text if is_dots_and_blanks(text) => Err(PatternError::Dots),
            text => {
                let mut folded = String::new();
                fold_into(&mut folded, text);
                Ok(Self::Literal { strict: text.into(), folded: folded.into() })
            }
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::request_path::RequestPath;
    use super::*;

    #[test]
    fn a_pattern_stands_for_the_paths_that_it_spells() {
        for (pattern, matching, others) in [
            ("/", &["/", "/?x"][..], &["/a"][..]),
            ("/**", &["/", "/a", "/a/b/"], &[]),
            ("/posts", &["/posts", "/posts/", "/posts//"], &["/", "/post", "/posts/1", "/Posts"]),
            ("/posts/", &["/posts", "/posts/"], &["/posts/1"]),
            ("/posts/**", &["/posts", "/posts/", "/posts/1/2"], &["/", "/postscript", "/a/posts"]),
            ("/posts/**/", &["/posts", "/posts/1"], &["/"]),
            ("/posts/*", &["/posts/1", "/posts/1/"], &["/posts", "/posts/", "/posts/1/2"]),
            ("/*/edit", &["/a/edit"], &["/edit", "/a/b/edit", "/a/edit/b"]),
            ("/*/**", &["/a", "/a/b"], &["/"]),
            ("/a b/é", &["/a%20b/%C3%A9"], &["/a+b/é"]),
        ] {
            let pattern = PathPattern::parse(pattern).unwrap();
            let matches = |path: &&str| {
                let path = RequestPath::parse(path.as_bytes()).unwrap();
                pattern.matches(path.readings().next().unwrap(), Comparison::Strict)
            };
            assert_eq!(matching.iter().find(|path| !matches(path)), None, "{pattern} is for it");
            assert_eq!(others.iter().find(|path| matches(path)), None, "{pattern} is not for it");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        use PatternError::*;
        for (text, error) in [
            ("", NoSlash),
            ("posts", NoSlash),
            ("*", NoSlash),
            ("//", EmptySegment),
            ("/posts//", EmptySegment),
            ("//posts", EmptySegment),
            ("/a//b", EmptySegment),
            ("//**", EmptySegment),
            ("/a//**", EmptySegment),
            ("/./a", Dots),
            ("/a/..", Dots),
            ("/...", Dots),
            ("/a*", Star),
            ("/*.html", Star),
            ("/a**", Star),
            ("/***", Star),
            ("/**/a", Star),
            ("/**/**", Star),
            ("/a%20b", Character),
            ("/a?b", Character),
            ("/a#b", Character),
            ("/a;b", Character),
            ("/a\\b", Character),
            ("/a\n", Character),
            ("/a\u{ff0f}b", Character),
            ("/a\u{2026}", Character),
            ("/.\u{fe0f}./b", Dots),
        ] {
            assert_eq!(PathPattern::parse(text).map(|_| ()), Err(error), "{text}");
        }
    }
}
