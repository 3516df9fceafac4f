//! The token cache: tokens that passed a check, by their digest, so that the next check needs no query; and
//! those that turned out to be revoked.
//!
//! It never resurrects. A session is read from the store outside any lock, and a change may be committed
//! meanwhile. So each session has the stamp that was taken before its read, and passes only as long as the
//! store's [`CacheInvalidation`] says that it is current: when it is found, and when it was just read. What
//! was cached passes only while the store also brings the changes of other processes in time.
//!
//! Look-ups of one token that are under way at the same time are one look-up. It is bounded in bytes: a token
//! with many long abilities takes the room of a hundred usual ones.

mod session;
mod users;

#[cfg(test)]
mod tests;

use std::hash::BuildHasherDefault;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::Error;
use crate::domain::{Clock, Lifetime, PresentedToken, Timestamp, Token, TokenHash, User};
use crate::store::{CacheInvalidation, StoreError};

pub use session::Session;
pub use users::CachedUser;
use users::SharedUsers;

/// What an entry takes beside its session: its digest, its places in the shard's table and list, the room
/// by which these grow, and its share of the digests that the shard remembers of evicted ones.
const ENTRY: u64 = 128;
/// What a usual entry takes; it only sizes the memory of evicted ones.
const USUAL: u64 = 384;
/// How often a session is read, if a change comes between each time.
const READS: usize = 8;

/// What the cache knows of a token.
#[derive(Clone, Debug)]
pub(super) enum CachedToken {
    /// It was live when it was read.
    Live(Arc<Session>),
    /// It is revoked, which is for ever. It costs no query, however often it is sent.
    Revoked,
}

/// The cache.
pub(crate) struct TokenCache {
    tokens: Cache<TokenHash, CachedToken, InBytes, BuildHasherDefault<Uniform>>,
    users: SharedUsers,
    invalidation: Arc<CacheInvalidation>,
    ttl: Lifetime,
    clock: Clock,
}

/// Weighs an entry by the bytes that it keeps allocated.
#[derive(Clone)]
struct InBytes;

impl Weighter<TokenHash, CachedToken> for InBytes {
    fn weight(&self, _: &TokenHash, token: &CachedToken) -> u64 {
        match token {
            CachedToken::Live(session) => ENTRY + session.bytes(),
            CachedToken::Revoked => ENTRY,
        }
    }
}

impl TokenCache {
    /// An empty cache that takes at most `bytes`: a quarter for users that sessions share, the rest for the
    /// sessions. Tokens die of age after `ttl`.
    pub(crate) fn new(
        bytes: u64,
        invalidation: Arc<CacheInvalidation>,
        ttl: Lifetime,
        clock: Clock,
    ) -> Self {
        let users = bytes / 4;
        let tokens = bytes - users;
        let tokens = Cache::with(
            usize::try_from(tokens / USUAL).unwrap_or(usize::MAX),
            tokens,
            InBytes,
            BuildHasherDefault::default(),
            DefaultLifecycle::default(),
        );
        Self { tokens, users: SharedUsers::new(users), invalidation, ttl, clock }
    }

    /// What is known of a token that is current. Waits for nothing.
    pub(super) fn get(&self, presented: &PresentedToken, now: Timestamp) -> Option<CachedToken> {
        self.tokens.get(&presented.hash).filter(|cached| self.is_current(cached, now))
    }

    /// The session of a token, as [`TokenCache::get`] knows it or else by `read`, which is called again if
    /// a change comes between. `None` if the token is not live.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) async fn look_up(
        &self,
        presented: &PresentedToken,
        read: impl AsyncFn(TokenHash) -> Result<Option<(Token, User)>, StoreError>,
    ) -> Result<Option<Arc<Session>>, Error> {
        let hash = &presented.hash;
        for _ in 0..READS {
            if !self.invalidation.freshness().lasts() {
                // Nothing cached can be trusted, but a read that begins now is its own proof. It is not shared:
                // what another look-up reads may have begun earlier.
                let Some(cached) = self.read(hash, &read).await? else { return Ok(None) };
                if self.is_unchanged(&cached, (self.clock)()) {
                    return Ok(cached.session_of(presented));
                }
                continue;
            }
            let cached = match self.tokens.get_value_or_guard_async(hash).await {
                Ok(cached) => cached,
                Err(place) => {
                    let Some(cached) = self.read(hash, &read).await? else { return Ok(None) };
                    // An error says that the place is gone: what was read is right all the same.
                    let _ = place.insert(cached.clone());
                    cached
                }
            };
            // It may have been read for a look-up that began before this one, and before a change.
            if self.is_current(&cached, (self.clock)()) {
                return Ok(cached.session_of(presented));
            }
            self.tokens.remove_if(hash, |cached| !self.is_current(cached, (self.clock)()));
        }
        // Changes are made in a loop. A change that comes now is no earlier than this check.
        let cached = self.read(hash, &read).await?;
        Ok(cached.and_then(|cached| cached.session_of(presented)))
    }

    /// Reads a token. `None` if it is not live, and may be later: it is unknown, or its owner is disabled.
    async fn read(
        &self,
        hash: &TokenHash,
        read: &impl AsyncFn(TokenHash) -> Result<Option<(Token, User)>, StoreError>,
    ) -> Result<Option<CachedToken>, Error> {
        let stamp = self.invalidation.stamp();
        let Some((token, user)) = read(*hash).await? else { return Ok(None) };
        if token.revoked_at.is_some() {
            return Ok(Some(CachedToken::Revoked));
        }
        let user = self.users.share(user);
        let session = Session::open(token, user, self.ttl, (self.clock)(), stamp);
        Ok(session.map(|session| CachedToken::Live(Arc::new(session))))
    }

    /// Whether a cached token is as the store has it now, or had it within the last second where another
    /// process changed it.
    fn is_current(&self, cached: &CachedToken, now: Timestamp) -> bool {
        // The order matters: see `Freshness`.
        let freshness = self.invalidation.freshness();
        self.is_unchanged(cached, now) && (cached.is_revoked() || freshness.lasts())
    }

    /// Whether no change is known of a token since it was read.
    fn is_unchanged(&self, cached: &CachedToken, now: Timestamp) -> bool {
        match cached {
            CachedToken::Live(session) => {
                session.is_revoked()
                    || session.is_live(now) && session.is_current(&self.invalidation)
            }
            CachedToken::Revoked => true,
        }
    }
}

impl CachedToken {
    /// Whether the token is revoked, which no later read can change.
    fn is_revoked(&self) -> bool {
        match self {
            Self::Live(session) => session.is_revoked(),
            Self::Revoked => true,
        }
    }

    /// The session, if the token is live and is the one that is presented.
    pub(super) fn session_of(self, presented: &PresentedToken) -> Option<Arc<Session>> {
        match self {
            Self::Live(session) => {
                Some(session).filter(|it| !it.is_revoked() && presented.names(it.token.id))
            }
            Self::Revoked => None,
        }
    }
}

/// Takes a digest's own bytes for its hash.
#[derive(Default)]
struct Uniform(u64);

impl std::hash::Hasher for Uniform {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
