//! Whoever was let in by a token, and on whose word something is changed.

use std::ops::Deref;
use std::sync::Arc;

use super::{Auth, Error, Session};
use crate::domain::Requirement;
use crate::store::ActingToken;

/// Somebody who was let in by a token, and what for.
///
/// To have something changed takes more: when it is written, the token must still be live and have
/// what was required, whatever happened since.
#[derive(Clone, Debug)]
pub struct AuthorizedToken {
    session: Arc<Session>,
    requirement: Requirement,
}

impl AuthorizedToken {
    /// Lets a session in that has what is required.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`]
    pub fn admit(session: Arc<Session>, requirement: Requirement) -> Result<Self, Error> {
        session.check(&requirement)?;
        Ok(Self { session, requirement })
    }
}

impl Session {
    /// Checks that the token and its owner have what is required.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`]
    pub fn check(&self, requirement: &Requirement) -> Result<(), Error> {
        requirement.check(&self.token, &self.user).map_err(Error::InsufficientScope)
    }
}

impl Deref for AuthorizedToken {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

/// On whose word something is changed. A bearer who has been shut out by then gets
/// [`Error::InvalidToken`], and one who may no longer have it done [`Error::InsufficientScope`].
/// What they may is what the guard nearest to the handler asked for.
#[derive(Clone, Copy, Debug)]
pub enum Actor<'a> {
    /// That of whoever runs the server, from its command line.
    Operator,
    /// A token's bearer's.
    Token(&'a AuthorizedToken),
}

impl Auth {
    /// Checks once more that a bearer has what they were let in for: since then, a body has arrived.
    ///
    /// # Errors
    /// [`Error::InvalidToken`]; [`Error::InsufficientScope`]; [`Error::Busy`] and the like.
    pub async fn confirm(&self, bearer: &AuthorizedToken) -> Result<(), Error> {
        let row = self.0.store.token_by_id(bearer.token.id).await?;
        let (token, user) = row.ok_or(Error::InvalidToken)?;
        self.0.ttl.check(&token, &user, self.now()).map_err(|_| Error::InvalidToken)?;
        bearer.requirement.check(&token, &user).map_err(Error::InsufficientScope)
    }

    /// What the store is to check before it writes.
    pub(super) fn acting_token(&self, bearer: &AuthorizedToken) -> ActingToken {
        let requirement = bearer.requirement.clone();
        ActingToken { token_id: bearer.token.id, requirement, ttl: self.0.ttl, now: self.now() }
    }

    /// The same, unless the operator needs no check.
    pub(super) fn acting_token_of(&self, by: Actor<'_>) -> Option<ActingToken> {
        match by {
            Actor::Operator => None,
            Actor::Token(bearer) => Some(self.acting_token(bearer)),
        }
    }
}
