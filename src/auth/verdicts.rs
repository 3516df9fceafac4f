//! The verdict cache: tokens that passed a check, by their digest, so that the next check needs no
//! query; and those of them that were revoked since.
//!
//! It never resurrects. A verdict is read outside any lock, and a revocation may commit meanwhile;
//! so each shard counts the changes that touched it, and a verdict counts only if none did
//! since its read began. Else it is read again. The store tells of a revocation before it answers
//! it, so once an answer has left, neither a kept verdict nor one being read can pass.
//!
//! It is bounded in bytes: a token with many long abilities takes the room of a hundred usual ones.

use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::Error;
use super::owners::{CachedUser, Owners, allocated};
use crate::domain::{Abilities, Bond, Lifetime, PresentedToken, Timestamp, Token, TokenHash};
use crate::store::{Change, Observer};

#[cfg(test)]
mod tests;

/// Shards, each with a lock of its own.
const SHARDS: usize = 64;
/// What a verdict takes beside its session: its digest, its places in the shard's table and list, the room
/// by which these grow, and its share of the digests that the shard remembers of evicted ones.
const ENTRY: u64 = 128;
/// What a usual verdict takes; it only sizes the memory of evicted ones.
const USUAL: u64 = 384;
/// How often a verdict is read, if a change comes between each time.
const READS: usize = 8;
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
}

impl Session {
    /// The session of a token, if it is live.
    pub(super) fn open(
        mut token: Token,
        user: Arc<CachedUser>,
        ttl: Lifetime,
        now: Timestamp,
    ) -> Option<Self> {
        token.expires_at = ttl.check(&token, &user, now).ok()?;
        let used_at = AtomicI64::new(token.last_used_at.map_or(i64::MIN, Timestamp::as_unix));
        if token.abilities.spell(&user.abilities) {
            // Nearly always, and one copy for all of the owner's tokens is a tenth of their memory.
            token.abilities = user.abilities.clone().held_by(token.kind);
        }
        let abilities = token.abilities.shared_with(&user.abilities);
        Some(Self { token, user, abilities, used_at })
    }

    /// Whether its use at `now` is to be noted: once a minute, and when the clock was set back.
    pub(super) fn note_use(&self, now: Timestamp) -> bool {
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
    fn bytes(&self) -> u64 {
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

    fn is_live(&self, now: Timestamp) -> bool {
        self.token.expires_at.is_none_or(|end| now < end)
    }
}

/// What is known of a token.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It passed, and is live until its session ends.
    Live(Arc<Session>),
    /// It passed once, and was revoked since: whoever goes on sending it costs no query.
    Revoked,
}

/// The cache.
pub(crate) struct Verdicts {
    shards: Box<[Mutex<Shard>]>,
    /// Who the sessions belong to.
    pub(super) owners: Owners,
}

struct Shard {
    verdicts: Cache<TokenHash, Verdict, InBytes, BuildHasherDefault<Uniform>>,
    /// How many changes of tokens touched this shard.
    changes: u64,
}

/// Weighs a verdict by the bytes that it keeps allocated.
#[derive(Clone)]
struct InBytes;

impl Weighter<TokenHash, Verdict> for InBytes {
    fn weight(&self, _: &TokenHash, verdict: &Verdict) -> u64 {
        match verdict {
            Verdict::Live(session) => ENTRY + session.bytes(),
            Verdict::Revoked => ENTRY,
        }
    }
}

impl Verdicts {
    /// An empty cache that takes at most `bytes`: a quarter for owners that sessions share, the rest for the
    /// sessions.
    pub(crate) fn new(bytes: u64) -> Self {
        let owners = bytes / 4;
        let of_shard = (bytes - owners) / SHARDS as u64;
        let shard = || {
            let verdicts = Cache::with(
                usize::try_from(of_shard / USUAL).unwrap_or(usize::MAX),
                of_shard,
                InBytes,
                BuildHasherDefault::default(),
                Default::default(),
            );
            Mutex::new(Shard { verdicts, changes: 0 })
        };
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Self { shards, owners: Owners::new(owners) }
    }

    /// What is known of a token: that it is live, or was revoked. Waits for nothing.
    pub(super) fn get(&self, presented: &PresentedToken, now: Timestamp) -> Option<Verdict> {
        let shard = self.shard(&presented.hash);
        let verdict = shard.verdicts.get(&presented.hash)?;
        let holds = match verdict {
            Verdict::Live(session) => session.is_live(now) && presented.names(session.token.id),
            Verdict::Revoked => true,
        };
        holds.then(|| verdict.clone())
    }

    /// Reads a token's session by `read` and keeps it; reads again if a change comes between.
    /// `None` if the token is not live.
    ///
    /// # Errors
    /// Those of `read`; [`Error::Busy`] if a change came between each of several reads.
    pub(super) async fn read<R>(
        &self,
        hash: &TokenHash,
        read: impl Fn() -> R,
    ) -> Result<Option<Arc<Session>>, Error>
    where
        R: Future<Output = Result<Option<Session>, Error>>,
    {
        for _ in 0..READS {
            let before = self.shard(hash).changes;
            let Some(session) = read().await? else { return Ok(None) };
            let session = Arc::new(session);
            let mut shard = self.shard(hash);
            if shard.changes == before {
                shard.verdicts.insert(*hash, Verdict::Live(session.clone()));
                return Ok(Some(session));
            }
        }
        Err(Error::Busy)
    }

    fn shard(&self, hash: &TokenHash) -> MutexGuard<'_, Shard> {
        // The last byte: the first eight are the hash inside the shard.
        lock(&self.shards[usize::from(hash.as_bytes()[31]) % SHARDS])
    }
}

impl Observer for Verdicts {
    fn changed(&self, changes: &[Change]) {
        for change in changes {
            let (Change::Revoked(hash) | Change::Purged(hash) | Change::Other(hash)) = change;
            let mut shard = self.shard(hash);
            match (change, shard.verdicts.remove(hash)) {
                // It was dead, so that no read under way takes it for live, unless the clock is set back
                // meanwhile; and a sweep would have all reads begin anew, over and over.
                (Change::Purged(_), _) => continue,
                (Change::Revoked(_), Some(_)) | (_, Some((_, Verdict::Revoked))) => {
                    shard.verdicts.insert(*hash, Verdict::Revoked);
                }
                _ => {}
            }
            shard.changes += 1;
        }
    }

    fn anything_changed(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.changes += 1;
            shard.verdicts.clear();
        }
    }
}

/// No code panics while it holds one of these; were one poisoned, it would still be whole.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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
