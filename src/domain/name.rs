use std::fmt;

use serde::Serialize;

use super::printable::first_hidden;

/// What a user or a token is called: 1 to 255 characters, none of which hides or changes how
/// others are shown, no blank ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Name(Box<str>);

/// Why a string is no [`Name`]. Reads on from "The name field …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or blanks alone.
    #[error("is required")]
    Empty,
    /// Over 255 characters.
    #[error("must not be longer than 255 characters")]
    TooLong,
    /// This character: a control or format character, a separator other than a plain space, or one that
    /// has no shape.
    #[error(
        "must not contain U+{:04X}; control characters, invisible ones and separators other than a plain \
         space are not allowed", u32::from(*.0)
    )]
    Hidden(char),
}

impl Name {
    /// The name that `text` spells, its ends trimmed. Its length counts with them, as a form's or a
    /// schema's limit does.
    ///
    /// # Errors
    /// [`NameError`] says which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.chars().count() > 255 {
            return Err(NameError::TooLong);
        }
        let text = text.trim();
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(hidden) = first_hidden(text) {
            return Err(NameError::Hidden(hidden));
        }
        Ok(Self(text.into()))
    }

    /// A name read back from where a parsed one was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text.into_boxed_str())
    }

    /// The name's characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        let longest = "é".repeat(255);
        for (text, expected) in [
            (" laptop ", Ok("laptop")),
            (longest.as_str(), Ok(longest.as_str())),
            ("", Err(NameError::Empty)),
            (" \t\n", Err(NameError::Empty)),
            ("a\0b", Err(NameError::Hidden('\0'))),
            ("a\nb", Err(NameError::Hidden('\n'))),
            ("a\u{202e}b", Err(NameError::Hidden('\u{202e}'))),
            ("علی\u{200c}رضا", Ok("علی\u{200c}رضا")),
            (&"é".repeat(256), Err(NameError::TooLong)),
            (&format!(" {longest}"), Err(NameError::TooLong)),
        ] {
            assert_eq!(Name::parse(text).as_ref().map(Name::as_str), expected.as_ref().copied());
        }
    }
}
