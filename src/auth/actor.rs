//! Who requests a change: the operator, or a token that a guard has authorized.

use std::ops::Deref;
use std::sync::Arc;

use super::{Auth, Error, Session};
use crate::domain::Requirement;
use crate::store::ActingToken;

/// A token that met a requirement.
///
/// A change that it requests is checked again when it is written: the token must still be live and meet the
/// requirement.
#[derive(Clone, Debug)]
pub struct AuthorizedToken {
    session: Arc<Session>,
    requirement: Requirement,
}

impl AuthorizedToken {
    /// Authorizes a session that meets the requirement.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`]
    pub fn admit(session: Arc<Session>, requirement: Requirement) -> Result<Self, Error> {
        session.check(&requirement)?;
        Ok(Self { session, requirement })
    }
}

impl Session {
    /// Checks that the token and its owner meet a requirement.
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

/// Who requests a change. A token that is no longer live gets [`Error::InvalidToken`], and one that no longer
/// meets the requirement gets [`Error::InsufficientScope`]. The requirement is that of the guard nearest to the
/// handler.
#[derive(Clone, Copy, Debug)]
pub enum Actor<'a> {
    /// The operator of the server, on the command line. Everything is allowed.
    Operator,
    /// A token.
    Token(&'a AuthorizedToken),
}

impl Auth {
    /// Checks again that a token meets its requirement. Since the first check, a body has arrived.
    ///
    /// # Errors
    /// [`Error::InvalidToken`]; [`Error::InsufficientScope`]; [`Error::Busy`] and the like.
    pub async fn confirm(&self, bearer: &AuthorizedToken) -> Result<(), Error> {
        let row = self.0.store.token_by_id(bearer.token.id).await?;
        let (token, user) = row.ok_or(Error::InvalidToken)?;
        self.0.ttl.check(&token, &user, self.now()).map_err(|_| Error::InvalidToken)?;
        bearer.requirement.check(&token, &user).map_err(Error::InsufficientScope)
    }

    /// The check that the store makes before it writes for a token.
    pub(super) fn acting_token(&self, bearer: &AuthorizedToken) -> ActingToken {
        let requirement = bearer.requirement.clone();
        ActingToken { token_id: bearer.token.id, requirement, ttl: self.0.ttl, now: self.now() }
    }

    /// The same for any actor. `None` for the operator, who needs no check.
    pub(super) fn acting_token_of(&self, by: Actor<'_>) -> Option<ActingToken> {
        match by {
            Actor::Operator => None,
            Actor::Token(bearer) => Some(self.acting_token(bearer)),
        }
    }
}
