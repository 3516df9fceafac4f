//! The check of the token that requests a write, in the write's own transaction. The guard's check may be
//! seconds old: since then, a body has arrived or a password was hashed, and the token may have been revoked,
//! or its owner disabled.

use diesel::prelude::*;

use super::StoreError;
use super::rows::by_id;
use crate::domain::{Lifetime, Requirement, Timestamp, Token, User};

/// A token that requests a write.
#[derive(Clone, Debug)]
pub struct ActingToken {
    /// Its id.
    pub token_id: i64,
    /// What it must have.
    pub requirement: Requirement,
    /// How long tokens live.
    pub ttl: Lifetime,
    /// The time of the request.
    pub now: Timestamp,
}

impl ActingToken {
    /// The token and its owner, if it is live and has what is required.
    ///
    /// # Errors
    /// [`StoreError::Dead`]; [`StoreError::Lacking`]; or what SQLite fails with.
    pub(super) fn check(self, c: &mut SqliteConnection) -> Result<(Token, User), StoreError> {
        let (token, owner) = by_id(c, self.token_id)?.ok_or(StoreError::Dead)?;
        self.ttl.check(&token, &owner, self.now).map_err(|_| StoreError::Dead)?;
        self.requirement.check(&token, &owner).map_err(StoreError::Lacking)?;
        Ok((token, owner))
    }
}
