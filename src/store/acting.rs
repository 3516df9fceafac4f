//! Whether the token that a write is asked for with may still have it done, seen in the write's own
//! transaction: since the request was let in, a body has arrived or a password has been hashed, and
//! meanwhile the token may have been revoked, or its owner shut out or demoted.

use diesel::prelude::*;

use super::StoreError;
use super::tokens::by_id;
use crate::domain::{Lifetime, Needs, Timestamp, Token, User};

/// A token that acts.
#[derive(Clone, Copy, Debug)]
pub struct ActingToken {
    /// Its row's number.
    pub token_id: i64,
    /// What it must be good for.
    pub needs: Needs,
    /// How old it may have grown.
    pub ttl: Lifetime,
    /// When it acts.
    pub now: Timestamp,
}

impl ActingToken {
    /// The token and its owner, if it is live and has what is needed.
    ///
    /// # Errors
    /// [`StoreError::Dead`]; [`StoreError::Lacking`]; or what SQLite fails with.
    pub(super) fn check(self, c: &mut SqliteConnection) -> Result<(Token, User), StoreError> {
        let (token, owner) = by_id(c, self.token_id)?.ok_or(StoreError::Dead)?;
        self.ttl.check(&token, &owner, self.now).map_err(|_| StoreError::Dead)?;
        self.needs.check(&token, &owner).map_err(StoreError::Lacking)?;
        Ok((token, owner))
    }
}
