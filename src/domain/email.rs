use std::fmt;

use serde::Serialize;

/// An email address: kept as given, compared without regard to ASCII case.
#[derive(Clone, Debug, Serialize)]
pub struct Email(Box<str>);

/// Why a string is no [`Email`]. Reads on from "The email field …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// Nothing at all.
    #[error("is required")]
    Empty,
    /// Over 254 bytes, the longest path that SMTP carries (RFC 5321, 4.5.3.1.3, less its brackets).
    #[error("must not be longer than 254 bytes")]
    TooLong,
    /// Not `local@domain`.
    #[error("must be a valid email address, such as ada@example.org")]
    Malformed,
}

impl Email {
    /// The address that `text` spells, its ends trimmed. The local part is an RFC 5321 dot-string
    /// (no quoted form), the domain a host name; both may be international (RFC 6531).
    ///
    /// # Errors
    /// [`EmailError`] says which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(EmailError::Empty);
        }
        if text.len() > 254 {
            return Err(EmailError::TooLong);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError::Malformed)?;
        if !(is_local_part(local) && is_domain(domain)) {
            return Err(EmailError::Malformed);
        }
        Ok(Self(text.into()))
    }

    /// An address read back from where a parsed one was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text.into_boxed_str())
    }

    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_local_part(local: &str) -> bool {
    local.len() <= 64
        && local.split('.').all(|atom| {
            !atom.is_empty()
                && atom.chars().all(|c| match c.is_ascii() {
                    true => c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c),
                    false => is_distinct(c),
                })
        })
}

fn is_domain(domain: &str) -> bool {
    domain.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| {
                if c.is_ascii() { c.is_ascii_alphanumeric() || c == '-' } else { is_distinct(c) }
            })
    })
}

/// Whether a character beyond ASCII is a letter or digit that nobody takes for one of ASCII's: the
/// Kelvin sign in lower case is a k, and whoever compares so would take one email for another.
fn is_distinct(c: char) -> bool {
    let mut upper = c.to_uppercase();
    let is_ascii_in_capitals =
        matches!((upper.next(), upper.next()), (Some(c), None) if c.is_ascii());
    c.is_alphanumeric() && !is_ascii_in_capitals && !c.to_lowercase().any(|c| c.is_ascii())
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Email {}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_other_strings() {
        for good in [
            "ada@example.org",
            "a.b+c@sub.example.co",
            "root@localhost",
            "o'neil@example.org",
            "jörg@bücher.example",
            " ada@example.org ",
        ] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "ada",
            "@example.org",
            "ada@",
            "a b@example.org",
            "ada@exa mple.org",
            "a@b@example.org",
            ".ada@example.org",
            "ada.@example.org",
            "a..b@example.org",
            "ada@-example.org",
            "ada@example..org",
            "ada@example.org.",
            "a\0b@example.org",
            "ada@exam\nple.org",
            "\"a b\"@example.org",
            "ada@[127.0.0.1]",
            "<ada@example.org>",
            "\u{212a}im@example.org",
            "\u{17f}am@example.org",
            "adı@example.org",
        ] {
            assert_eq!(Email::parse(bad).unwrap_err(), EmailError::Malformed, "{bad}");
        }
        assert_eq!(Email::parse("").unwrap_err(), EmailError::Empty);
        let long = format!("a@{}.org", "x.".repeat(150));
        assert_eq!(Email::parse(&long).unwrap_err(), EmailError::TooLong);
    }

    #[test]
    fn addresses_compare_without_case_and_are_kept_as_given() {
        let email = Email::parse("Ada@Example.org").unwrap();
        assert_eq!(email, Email::parse("ada@example.ORG").unwrap());
        assert_eq!(email.as_str(), "Ada@Example.org");
    }
}
