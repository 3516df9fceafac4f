//! Token checks: from the token cache, or else from the store.

use std::sync::Arc;
use std::time::Duration;

use super::{Auth, Error, Session};
use crate::domain::{PresentedToken, Timestamp, Token, TokenHash, User};
use crate::store::StoreError;

/// How long a look-up may take, with the wait for others of the same token.
const PATIENCE: Duration = Duration::from_secs(5);

/// The result of a check without waiting.
#[derive(Debug)]
pub enum Check {
    /// The token is cached and live.
    Live(Arc<Session>),
    /// The string can't be a token, or the token is revoked.
    Refused,
    /// The token must be looked up with [`Auth::look_up`].
    Unknown(PresentedToken),
}

impl Auth {
    /// Checks the string of a bearer token against the token cache. Nearly every request takes this path. It
    /// writes nothing and waits for nothing but a short lock.
    pub fn check(&self, token: &[u8]) -> Check {
        let Ok(presented) = PresentedToken::parse(token, &self.0.prefix) else {
            self.0.metrics.malformed.inc();
            return Check::Refused;
        };
        let now = self.now();
        let Some(cached) = self.0.tokens.get(&presented, now) else {
            return Check::Unknown(presented);
        };
        self.0.metrics.hits.inc();
        match cached.session_of(&presented) {
            Some(session) => {
                self.record_use(&session, now);
                Check::Live(session)
            }
            None => Check::Refused,
        }
    }

    /// Returns the session of a bearer token's string, from the cache or from the store.
    ///
    /// # Errors
    /// [`Error::InvalidToken`] if it isn't live; [`Error::Busy`] and the like.
    pub async fn authenticate(&self, token: &[u8]) -> Result<Arc<Session>, Error> {
        match self.check(token) {
            Check::Live(session) => Ok(session),
            Check::Refused => Err(Error::InvalidToken),
            Check::Unknown(presented) => self.look_up(&presented).await,
        }
    }

    /// Looks a token up in the store.
    ///
    /// # Errors
    /// [`Error::InvalidToken`] if it isn't live; [`Error::Busy`] and the like.
    pub async fn look_up(&self, presented: &PresentedToken) -> Result<Arc<Session>, Error> {
        self.look_up_by(presented, async |hash| self.0.store.token_by_hash(hash).await).await
    }

    /// The same, where the store is read by `read`.
    pub(super) async fn look_up_by(
        &self,
        presented: &PresentedToken,
        read: impl AsyncFn(TokenHash) -> Result<Option<(Token, User)>, StoreError>,
    ) -> Result<Arc<Session>, Error> {
        self.0.metrics.misses.inc();
        let look_up = tokio::time::timeout(PATIENCE, self.0.tokens.look_up(presented, read)).await;
        let late = |_| Error::Unavailable("a look-up took too long".to_owned());
        let session = look_up.map_err(late)??.ok_or(Error::InvalidToken)?;
        self.record_use(&session, self.now());
        Ok(session)
    }

    fn record_use(&self, session: &Session, now: Timestamp) {
        if session.record_use(now) {
            self.0.usage.record(session.token.id, now);
        }
    }
}
