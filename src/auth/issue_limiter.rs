//! The limit of tokens that a user's tokens issue: 60 within any sixty seconds, so that a leaked token can't
//! fill memory or disk. The number of users that are counted is bounded as in `login_limiter`.

use std::sync::{Mutex, PoisonError};

use super::Error;
use super::sliding_count::Counts;
use crate::domain::Timestamp;

/// The most tokens a minute.
const MOST: u32 = 60;

/// The tokens that were issued of late, by the user's id.
pub(crate) struct IssueLimiter(Mutex<Counts<i64>>);

impl IssueLimiter {
    /// A limiter without any tokens.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Counts::new(MOST)))
    }

    /// Counts a token before it is issued for a user.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] at the limit; the token is not counted then.
    pub(super) fn count(&self, user_id: i64, now: Timestamp) -> Result<(), Error> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((wait, limit)) = counts.wait(&user_id, now) {
            let until = now.plus(i64::from(wait));
            return Err(Error::TooManyAttempts { limit, wait, until });
        }
        counts.count(user_id, now);
        Ok(())
    }

    /// Uncounts a token that was counted `at` this time and not issued.
    pub(super) fn give_back(&self, user_id: i64, at: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).give_back(&user_id, at);
    }
}
