use std::fmt;

use serde::Serialize;

use super::printable::first_hidden;

/// The name of a user or a token: 1 to 255 characters, without invisible characters, characters that change
/// how others are shown, and spaces at its ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Name(Box<str>);

/// Why a string is not a valid [`Name`]. Each message continues "The name field …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty or consists of whitespace.
    #[error("is required")]
    Empty,
    /// It has more than 255 characters.
    #[error("must not be longer than 255 characters")]
    TooLong,
    /// It has this character, which is a control or format character, a separator other than a plain space,
    /// or invisible.
    #[error(
        "must not contain U+{:04X}; control characters, invisible ones and separators other than a plain \
         space are not allowed", u32::from(*.0)
    )]
    Hidden(char),
}

impl Name {
    /// Parses a name and trims it. The limit applies to the length before trimming, as in HTML forms and JSON
    /// schemas.
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

    /// Reads back a stored name.
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
