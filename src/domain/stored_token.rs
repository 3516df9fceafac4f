//! A token as it is stored, and what ties it to the one that issued it.

use super::{Abilities, Name, Timestamp, TokenKind};

/// An issued token, as stored: everything but its string.
#[derive(Clone, Debug)]
pub struct Token {
    /// The row's number; never given twice.
    pub id: i64,
    /// Where it comes from.
    pub kind: TokenKind,
    /// What binds it to its issuer. Boxed, because few tokens are bound, and every cached token has this.
    pub bond: Option<Box<Bond>>,
    /// What its owner calls it.
    pub name: Name,
    /// What it may do, as far as its owner may.
    pub abilities: Abilities,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it last passed a check, to the minute or so.
    pub last_used_at: Option<Timestamp>,
    /// The bound it was issued with, if any. `token_ttl` may end it earlier: [`super::Lifetime::end`].
    pub expires_at: Option<Timestamp>,
    /// Since when it is dead for good.
    pub revoked_at: Option<Timestamp>,
}

/// What ties a token to the one that issued it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bond {
    /// The token that issued it: it dies with that one.
    pub parent_id: i64,
    /// From when its age counts: the creation of the first token in its chain of issuers. So `token_ttl`
    /// ends it no later than its parent, even if that setting is changed.
    pub ages_from: Timestamp,
}

impl Token {
    /// Whether a token that this one issues is bound to it. A login token's are not: they survive
    /// logging out.
    pub fn binds(&self) -> bool {
        self.kind != TokenKind::Login
    }

    /// From when its age counts.
    pub fn ages_from(&self) -> Timestamp {
        self.bond.as_deref().map_or(self.created_at, |bond| bond.ages_from)
    }

    /// The token that it is bound to, if any.
    pub fn parent_id(&self) -> Option<i64> {
        self.bond.as_deref().map(|bond| bond.parent_id)
    }
}
