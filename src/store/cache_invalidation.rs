//! Which sessions, read from the store earlier, are out of date.
//!
//! Invariant: once the answer to a change has left, no session that was read before the change is current.
//!
//! It works by epochs. A change increments a counter after its commit, and writes the counter into the slot
//! of the token or user that it changed. A reader takes the counter as its stamp before it reads. What it
//! read is current as long as no slot of its token or user is newer than the stamp: a stamp that is as new
//! as a slot was taken after that slot's commit. So a change of a user costs the same for any number of
//! tokens. Several ids share a slot: a change of one makes the others be read once more.
//!
//! Other processes commit changes too. The slots are as new as the last read of the change log. A cached
//! session passes only if that read began within the last second: see [`Freshness`].

use std::time::{Duration, Instant};

// Not from std, so that tests/interleavings.rs can put loom's in their place.
use super::atomic::{AtomicI64, AtomicU64, Ordering};
use crate::domain::Timestamp;

/// Slots of tokens; a power of two.
const TOKENS: usize = 32_768;
/// Slots of users, and of families; a power of two.
const USERS: usize = 8_192;
/// How long cached sessions pass after a read of the change log began.
const FRESH: Duration = Duration::from_secs(1);

/// The counter and its slots.
#[derive(Debug)]
pub struct CacheInvalidation {
    epoch: AtomicU64,
    /// Nothing with an older stamp is current.
    flushed: AtomicU64,
    tokens: Slots,
    users: Slots,
    families: Slots,
    /// Tokens that ended by then, in Unix seconds, are deleted: none comes back if the clock is set back.
    purged: AtomicI64,
    start: Instant,
    /// Until when cached sessions pass, in nanoseconds after `start`.
    fresh_until: AtomicU64,
}

/// How long cached sessions pass, as it was known when this was made.
///
/// A check makes it, then compares slots, then asks [`Freshness::lasts`]. In this order, a process that was
/// paused between two of the steps can't let a session pass by slots that are older than a second.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    start: Instant,
    until: u64,
}

impl Freshness {
    /// Whether changes of other processes were read within the last second.
    pub fn lasts(self) -> bool {
        nanoseconds(self.start.elapsed()) < self.until
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The counter's value before a read began.
#[derive(Clone, Copy, Debug)]
pub struct Stamp(u64);

/// One change, as the change log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The token with this id is revoked or changed.
    Token(i64),
    /// The user with this id is changed or deleted, or all their tokens are revoked.
    User(i64),
    /// A token and all that are bound to it, by the id of the first.
    Family(i64),
    /// Tokens that ended by this time, in Unix seconds, are deleted.
    Purge(i64),
}

#[derive(Debug)]
struct Slots {
    slots: Box<[AtomicU64]>,
    /// Random and odd: it spreads the ids, so that no user can choose to share a slot with another.
    factor: u64,
}

impl Slots {
    fn new(count: usize) -> Self {
        let slots = (0..count).map(|_| AtomicU64::new(0)).collect();
        Self { slots, factor: rand::random::<u64>() | 1 }
    }

    fn of(&self, id: i64) -> &AtomicU64 {
        let hash = (id as u64).wrapping_mul(self.factor) >> 32;
        &self.slots[hash as usize & (self.slots.len() - 1)]
    }
}

impl Default for CacheInvalidation {
    fn default() -> Self {
        Self::with_slots(TOKENS, USERS)
    }
}

impl CacheInvalidation {
    /// One whose cached sessions pass without any store.
    #[cfg(test)]
    pub fn always_fresh() -> Self {
        Self { fresh_until: AtomicU64::new(u64::MAX), ..Self::default() }
    }

    /// With so many slots of tokens, and of users.
    pub(super) fn with_slots(tokens: usize, users: usize) -> Self {
        Self {
            epoch: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
            tokens: Slots::new(tokens),
            users: Slots::new(users),
            families: Slots::new(users),
            purged: AtomicI64::new(i64::MIN),
            start: Instant::now(),
            fresh_until: AtomicU64::new(0),
        }
    }

    /// The stamp of a read that begins now.
    pub fn stamp(&self) -> Stamp {
        Stamp(self.epoch.load(Ordering::Acquire))
    }

    /// How long cached sessions pass.
    pub fn freshness(&self) -> Freshness {
        Freshness { start: self.start, until: self.fresh_until.load(Ordering::Acquire) }
    }

    /// Whether no change is known of what a read with this stamp found of a token, its user and its family.
    pub fn is_current(&self, stamp: Stamp, token: i64, user: i64, family: i64) -> bool {
        let slots = [self.tokens.of(token), self.users.of(user), self.families.of(family)];
        let is_older = |changed: &AtomicU64| changed.load(Ordering::Acquire) <= stamp.0;
        is_older(&self.flushed) && slots.into_iter().all(is_older)
    }

    /// Whether a token that ends at this time has been deleted.
    pub fn is_purged(&self, end: Timestamp) -> bool {
        end.as_unix() <= self.purged.load(Ordering::Acquire)
    }

    /// Invalidates what committed changes touch. For the change log alone, as the rest of this.
    pub(super) fn invalidate(&self, changes: impl Iterator<Item = Change>) {
        let mut changes = changes.peekable();
        if changes.peek().is_none() {
            return;
        }
        let epoch = self.advance();
        for change in changes {
            let slot = match change {
                Change::Token(id) => self.tokens.of(id),
                Change::User(id) => self.users.of(id),
                Change::Family(id) => self.families.of(id),
                Change::Purge(cutoff) => {
                    self.purged.fetch_max(cutoff, Ordering::AcqRel);
                    continue;
                }
            };
            slot.store(epoch, Ordering::Release);
        }
    }

    /// Invalidates everything.
    pub(super) fn invalidate_all(&self) {
        self.flushed.store(self.advance(), Ordering::Release);
    }

    /// Lets cached sessions pass for a second after `began`: all that was committed by then is invalidated.
    pub(super) fn refresh(&self, began: Instant) {
        let until = nanoseconds(began.duration_since(self.start) + FRESH);
        self.fresh_until.fetch_max(until, Ordering::AcqRel);
    }

    /// Lets no cached session pass until the next [`CacheInvalidation::refresh`].
    pub(super) fn expire(&self) {
        self.fresh_until.store(0, Ordering::Release);
    }

    fn advance(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }
}
