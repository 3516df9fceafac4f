//! Users, as the sessions of their tokens share them.

use std::any::Any;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use quick_cache::unsync::Cache;

use crate::domain::User;

/// How many users are kept for later look-ups at most.
const USERS: usize = 4_096;

/// The most memory that an allocation of so many bytes takes, with the counts of an `Arc`, the allocator's
/// bookkeeping and padding.
pub(super) const fn allocated(bytes: usize) -> u64 {
    bytes as u64 + 32
}

/// A token's owner, as read from the store, with the texts in which answers show the user. To write the
/// texts anew for each request would take 3 % of its time.
#[derive(Debug)]
pub struct CachedUser {
    user: User,
    rendered: OnceLock<Box<dyn Any + Send + Sync>>,
    /// The user's part of the budget for shared users. If it is `None`, the user's bytes are part of the
    /// session's weight.
    share: Option<Share>,
}

/// Bytes of the budget for shared users. They are returned when this is dropped.
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

impl CachedUser {
    /// The most bytes of what [`Self::rendered`] keeps, without the texts that it refers to.
    pub(crate) const RENDERED: usize = 160;

    fn new(user: User, share: Option<Share>) -> Self {
        Self { user, rendered: OnceLock::new(), share }
    }

    /// The user's bytes in the weight of a session: none, if they are in the budget for shared users.
    pub(super) fn bytes_of_session(&self) -> u64 {
        if self.share.is_some() { 0 } else { bytes_of(&self.user) }
    }

    /// The user as the first call's `render` wrote it. `None` if that call had another `T`.
    pub(crate) fn rendered<T: Any + Send + Sync>(
        &self,
        render: impl FnOnce(&User) -> T,
    ) -> Option<&T> {
        self.rendered.get_or_init(|| Box::new(render(&self.user))).downcast_ref()
    }
}

impl Deref for CachedUser {
    type Target = User;

    fn deref(&self) -> &User {
        &self.user
    }
}

/// The most bytes that a user allocates, with the texts of the answers that show the user.
fn bytes_of(user: &User) -> u64 {
    // Each text is kept as it is and in JSON, with escapes. The name and the email are kept as headers'
    // values too, the name percent-encoded.
    let texts = 6 * user.name.as_str().len()
        + 4 * user.email.as_str().len()
        + 4 * user.abilities.as_scope().len();
    // There are seven texts beside the owner itself. The names and the times in JSON take 200 bytes.
    let structs = allocated(size_of::<CachedUser>()) + allocated(CachedUser::RENDERED);
    structs + allocated(texts) + 6 * allocated(0) + 200
}

/// The users that were read last. Sessions of one user share a copy, which is a third of a session's memory.
///
/// Shared users have a budget in bytes. Each uses its part as long as a session has the user. When the budget
/// is used up, a new user is not shared, and is part of the session's weight.
pub(super) struct SharedUsers {
    known: Mutex<Cache<i64, Arc<CachedUser>>>,
    /// The bytes of all shared users.
    total: Arc<AtomicU64>,
    /// The budget.
    most: u64,
}

impl SharedUsers {
    /// No users. Shared ones take at most so many bytes.
    pub(super) fn new(most: u64) -> Self {
        Self { known: Mutex::new(Cache::new(USERS)), total: Arc::default(), most }
    }

    /// The shared copy of a user that was just read. A copy that differs from `user` is not used again.
    pub(super) fn share(&self, user: User) -> Arc<CachedUser> {
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
            // Sessions may no longer use some of these.
            known.clear();
        }
        if !has_room() {
            return Arc::new(CachedUser::new(user, None));
        }
        // Only this adds to the total, under the lock.
        self.total.fetch_add(bytes, Ordering::Relaxed);
        let share = Share { bytes, total: self.total.clone() };
        let owner = Arc::new(CachedUser::new(user, Some(share)));
        known.insert(owner.id, owner.clone());
        owner
    }
}
