//! How a token was issued.

use std::fmt;

use serde::Serialize;

/// How a token was issued. The kind decides which abilities the token's wildcards cover
/// ([`super::Abilities::held_by`]), and whether tokens that it issues are bound to it
/// ([`super::Token::binds`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// Issued for a password.
    Login,
    /// Issued by another token.
    Personal,
    /// Issued on the command line.
    Operator,
}

impl TokenKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Login, Self::Personal, Self::Operator];

    /// The kind as a word, for the database and for display.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Personal => "personal",
            Self::Operator => "operator",
        }
    }

    /// Reads back a stored kind. An unknown word becomes [`TokenKind::Personal`], which grants the least.
    pub fn from_stored(word: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Personal)
    }
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_back_and_an_unknown_one_grants_the_least() {
        for kind in TokenKind::ALL {
            assert_eq!(TokenKind::from_stored(kind.as_str()), kind);
        }
        assert_eq!(TokenKind::from_stored("Login"), TokenKind::Personal);
    }
}
