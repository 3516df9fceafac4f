//! Owners of tokens, as the sessions in the verdict cache share them.

use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use quick_cache::unsync::Cache;

use crate::domain::User;

/// Owners that the sessions of several tokens share, at most.
const OWNERS: usize = 4_096;

/// A token's owner, as of when they were read from the store; and how answers show them, which would
/// take 3 % of a request's time if each wrote it anew.
#[derive(Debug)]
pub struct Owner {
    user: User,
    account: OnceLock<Bytes>,
    headers: OnceLock<[Bytes; 3]>,
}

impl Owner {
    fn new(user: User) -> Self {
        Self { user, account: OnceLock::new(), headers: OnceLock::new() }
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

/// The owners read last, so that each of a user's tokens needs no copy of them: a third of a
/// session's memory. What is read anew from the store counts, never what is found here.
pub(super) struct Owners(Mutex<Cache<i64, Arc<Owner>>>);

impl Default for Owners {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(OWNERS)))
    }
}

impl Owners {
    /// An owner just read: the copy that others have already, if it is alike.
    pub(super) fn share(&self, user: User) -> Arc<Owner> {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = owners.get(&user.id)
            && known.user == user
        {
            return known.clone();
        }
        let owner = Arc::new(Owner::new(user));
        owners.insert(owner.id, owner.clone());
        owner
    }
}
