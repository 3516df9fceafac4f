//! Whether a token is live: from memory, and else from the store.

use std::sync::Arc;

use super::verdicts::Verdict;
use super::{Auth, Error, Session};
use crate::domain::PresentedToken;

/// What is known of a token without waiting.
#[derive(Debug)]
pub enum Check {
    /// It passed before, and is live.
    Live(Arc<Session>),
    /// It can't be a token, or was revoked.
    Refused,
    /// It must be looked up: [`Auth::look_up`].
    Unknown(PresentedToken),
}

impl Auth {
    /// Checks the string of a bearer token against what is in memory. This is the path of nearly
    /// every request: no lock is held for long, nothing is written, nothing is awaited.
    pub fn check(&self, token: &[u8]) -> Check {
        let Ok(presented) = PresentedToken::parse(token, &self.0.prefix) else {
            self.0.metrics.malformed.inc();
            return Check::Refused;
        };
        let now = self.now();
        match self.0.verdicts.get(&presented, now) {
            Some(Verdict::Live(session)) => {
                self.0.metrics.hits.inc();
                self.note_use(&session, now);
                Check::Live(session)
            }
            Some(Verdict::Revoked) => {
                self.0.metrics.hits.inc();
                Check::Refused
            }
            None => Check::Unknown(presented),
        }
    }

    /// The session of a bearer token's string: from memory, or looked up.
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
        self.0.metrics.misses.inc();
        let read = || async {
            let row = self.0.store.token_by_hash(presented.hash).await?;
            Ok(row.and_then(|(token, user)| {
                let owner = self.0.verdicts.owners.share(user);
                Session::open(token, owner, self.0.ttl, self.now())
            }))
        };
        let session = self.0.verdicts.read(&presented.hash, read).await?;
        let session = session.filter(|session| presented.names(session.token.id));
        let session = session.ok_or(Error::InvalidToken)?;
        self.note_use(&session, self.now());
        Ok(session)
    }

    fn note_use(&self, session: &Session, now: crate::domain::Timestamp) {
        if session.note_use(now) {
            self.0.usage.record(session.token.id, now);
        }
    }
}
