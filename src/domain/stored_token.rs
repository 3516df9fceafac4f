//! A token as it is stored, and its bond to the token that issued it.

use super::{Abilities, Name, Timestamp, TokenKind};

/// An issued token as stored, without its string.
#[derive(Clone, Debug)]
pub struct Token {
    /// The row's id; ids are never reused.
    pub id: i64,
    /// How the token was issued.
    pub kind: TokenKind,
    /// The bond to its issuer. It is boxed to save memory in the token cache, because few tokens are bound.
    pub bond: Option<Box<Bond>>,
    /// The name that its owner gave it.
    pub name: Name,
    /// Its own abilities. The token can use only those that its owner has too.
    pub abilities: Abilities,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it last passed a check, to about a minute.
    pub last_used_at: Option<Timestamp>,
    /// Its own expiry time, if it has one. `token_ttl` may end it earlier: see [`super::Lifetime::end`].
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// The bond of a token to the token that issued it. When the parent dies, the bound token dies too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bond {
    /// The id of the parent, which issued the token.
    pub parent_id: i64,
    /// The start of the token's age: the creation of the first token in its chain of issuers. So `token_ttl`
    /// ends the token no later than its parent, even if the setting changes.
    pub ages_from: Timestamp,
}

impl Token {
    /// Whether tokens that this one issues are bound to it. Tokens issued by a login token are not, so they
    /// survive a logout.
    pub fn binds(&self) -> bool {
        self.kind != TokenKind::Login
    }

    /// The start of the token's age.
    pub fn ages_from(&self) -> Timestamp {
        self.bond.as_deref().map_or(self.created_at, |bond| bond.ages_from)
    }

    /// The id of the token that it is bound to, if any.
    pub fn parent_id(&self) -> Option<i64> {
        self.bond.as_deref().map(|bond| bond.parent_id)
    }
}
