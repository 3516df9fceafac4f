//! Owners of tokens, as the sessions in the verdict cache share them.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use quick_cache::unsync::Cache;

use crate::domain::User;

/// Owners that are kept for sessions to come, at most.
const OWNERS: usize = 4_096;

/// What an allocation of so many bytes takes at most: the allocator's own, the counts of an `Arc`, and what
/// it rounds up to.
pub(super) const fn allocated(bytes: usize) -> u64 {
    bytes as u64 + 32
}

/// A token's owner, as of when they were read from the store; and how answers show them, which would
/// take 3 % of a request's time if each wrote it anew.
#[derive(Debug)]
pub struct Owner {
    user: User,
    account: OnceLock<Bytes>,
    headers: OnceLock<[Bytes; 3]>,
    /// Their part of what owners may take; without one, each session that has them answers for their bytes.
    share: Option<Share>,
}

/// Bytes that are accounted for until this is dropped.
#[derive(Debug)]
struct Share {
    bytes: u64,
    total: Arc<AtomicU64>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Owner {
    fn new(user: User, share: Option<Share>) -> Self {
        Self { user, account: OnceLock::new(), headers: OnceLock::new(), share }
    }

    /// The bytes that they keep allocated, and that a session must answer for.
    pub(super) fn unaccounted_bytes(&self) -> u64 {
        if self.share.is_some() { 0 } else { bytes_of(&self.user) }
    }

    /// The body of the answer that shows them their account: as the first `write` gives it.
    pub(crate) fn account<E>(
        &self,
        write: impl FnOnce(&User) -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        if let Some(account) = self.account.get() {
            return Ok(account.clone());
        }
        let account = write(&self.user)?;
        Ok(self.account.get_or_init(|| account).clone())
    }

    /// The headers' values that name them to an application behind a proxy: as the first `write` gives
    /// them.
    pub(crate) fn headers(&self, write: impl FnOnce(&User) -> [Bytes; 3]) -> &[Bytes; 3] {
        self.headers.get_or_init(|| write(&self.user))
    }
}

impl Deref for Owner {
    type Target = User;

    fn deref(&self) -> &User {
        &self.user
    }
}

/// The bytes that an owner keeps allocated at most, how answers show them included.
fn bytes_of(user: &User) -> u64 {
    // Each text as it is, in JSON with its escapes, and, but for the abilities, in a header, where a
    // name's bytes are percent-encoded.
    let texts = 6 * user.name.as_str().len()
        + 4 * user.email.as_str().len()
        + 4 * user.abilities.as_scope().len();
    // Seven texts beside the owner itself; JSON's names and times take 200 bytes.
    allocated(size_of::<Owner>()) + allocated(texts) + 6 * allocated(0) + 200
}

/// The owners read last, so that each of a user's tokens needs no copy of them: a third of a
/// session's memory. What is read anew from the store counts, never what is found here.
///
/// The owners that sessions share are bounded in bytes together, for as long as any session has them. One
/// for whom there is no room is shared by no later session, and the session that has them weighs as much
/// more.
pub(super) struct Owners {
    known: Mutex<Cache<i64, Arc<Owner>>>,
    /// The bytes of all that are shared.
    total: Arc<AtomicU64>,
    /// The most of them.
    most: u64,
}

impl Owners {
    /// Of at most so many bytes.
    pub(super) fn new(most: u64) -> Self {
        Self { known: Mutex::new(Cache::new(OWNERS)), total: Arc::default(), most }
    }

    /// An owner just read: the copy that others have already, if it is alike.
    pub(super) fn share(&self, user: User) -> Arc<Owner> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = known.get(&user.id)
            && owner.user == user
        {
            return owner.clone();
        }
        known.remove(&user.id);
        let bytes = bytes_of(&user);
        let has_room = || self.total.load(Ordering::Relaxed) + bytes <= self.most;
        if !has_room() {
            // Those that no session has are in the way.
            known.clear();
        }
        if !has_room() {
            return Arc::new(Owner::new(user, None));
        }
        // Only this adds, and behind the lock.
        self.total.fetch_add(bytes, Ordering::Relaxed);
        let share = Share { bytes, total: self.total.clone() };
        let owner = Arc::new(Owner::new(user, Some(share)));
        known.insert(owner.id, owner.clone());
        owner
    }
}
