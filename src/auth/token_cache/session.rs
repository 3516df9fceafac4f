use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::users::{CachedUser, allocated};
use crate::domain::{Abilities, Bond, Lifetime, Timestamp, Token};
use crate::store::{CacheInvalidation, Stamp};

/// Seconds between two notes of the same token's use.
const USE_INTERVAL: i64 = 60;

/// A live token and its owner, as of when they were read from the store.
#[derive(Debug)]
pub struct Session {
    /// The token. Its `expires_at` is when it dies, if nothing else ends it: the earlier of its own bound and
    /// that of its age. [`Session::last_used_at`] is more recent than its `last_used_at`.
    pub token: Token,
    /// Its owner. Tokens of one owner share what is known of them.
    pub user: Arc<CachedUser>,
    /// What it can do: what both it and its owner may.
    pub abilities: Abilities,
    /// When its use was last noted, in Unix seconds; `i64::MIN` for never.
    used_at: AtomicI64,
    /// Taken before the read.
    stamp: Stamp,
    /// Whether its token was revoked through this session.
    revoked: AtomicBool,
}

impl Session {
    /// The session of a token, if it is live.
    pub(in crate::auth) fn open(
        mut token: Token,
        user: Arc<CachedUser>,
        ttl: Lifetime,
        now: Timestamp,
        stamp: Stamp,
    ) -> Option<Self> {
        token.expires_at = ttl.check(&token, &user, now).ok()?;
        let used_at = AtomicI64::new(token.last_used_at.map_or(i64::MIN, Timestamp::as_unix));
        if token.abilities.has_same_text_as(&user.abilities) {
            // Nearly always, and one copy for all of the owner's tokens is a tenth of their memory.
            token.abilities = user.abilities.clone().held_by(token.kind);
        }
        let abilities = token.abilities.shared_with(&user.abilities);
        Some(Self { token, user, abilities, used_at, stamp, revoked: AtomicBool::new(false) })
    }

    /// Whether its use at `now` is to be noted: once a minute, and when the clock was set back.
    pub(in crate::auth) fn record_use(&self, now: Timestamp) -> bool {
        let (before, now) = (self.used_at.load(Ordering::Relaxed), now.as_unix());
        (now < before || now.saturating_sub(before) >= USE_INTERVAL)
            && self
                .used_at
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// When the token was last used, to the minute.
    pub fn last_used_at(&self) -> Option<Timestamp> {
        match self.used_at.load(Ordering::Relaxed) {
            i64::MIN => None,
            seconds => Some(Timestamp::from_unix(seconds)),
        }
    }

    /// Whether the token, and its owner, may do `ability`.
    pub fn token_can(&self, ability: &str) -> bool {
        self.abilities.grant(ability)
    }

    /// How many bytes it allocates, with its owner's if that one is not shared. The number never changes: the
    /// cache subtracts what it once added.
    pub(super) fn bytes(&self) -> u64 {
        let Self { token, user, abilities, .. } = self;
        let mut bytes = allocated(size_of::<Self>()) + allocated(token.name.as_str().len());
        bytes += token.bond.as_ref().map_or(0, |_| allocated(size_of::<Bond>()));
        if !token.abilities.share_memory(&user.abilities) {
            bytes += allocated(token.abilities.as_scope().len());
        }
        if !abilities.share_memory(&user.abilities) && !abilities.share_memory(&token.abilities) {
            bytes += allocated(abilities.as_scope().len());
        }
        bytes + user.bytes_of_session()
    }

    /// Remembers that the token is revoked, so that the next check needs no query to find out.
    pub(in crate::auth) fn set_revoked(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.token.expires_at.is_none_or(|end| now < end)
    }

    pub(super) fn is_current(&self, invalidation: &CacheInvalidation) -> bool {
        let Token { id, ref bond, .. } = self.token;
        let family = bond.as_ref().map_or(id, |bond| bond.parent_id);
        invalidation.is_current(self.stamp, id, self.user.id, family)
            && self.token.expires_at.is_none_or(|end| !invalidation.is_purged(end))
    }
}
