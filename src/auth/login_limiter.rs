//! How often a password may be tried, at a login or to change an account. There are three limits, each
//! over a minute: for one email from one network, for one network with any emails, and for one email
//! from any networks. The third one slows guesses at one account from many networks.
//!
//! An attacker who uses up the third limit must not lock the account's owner out. So it does not apply to
//! the networks of the account's latest logins, which have precedence in the password hasher's queue too. An
//! email without an account is counted in the same way, and never has such a network.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use quick_cache::unsync::Cache;

use super::Error;
use super::sliding_count::Counts;
use crate::domain::{Email, Network, Timestamp};

#[cfg(test)]
mod tests;

/// One network may make this many times the attempts of one email from one network, and so may one email
/// from all networks. It is enough for an office behind one address, and too few to try one password on
/// many emails.
const FACTOR: u32 = 10;
/// Accounts whose networks are remembered at most.
const ACCOUNTS: usize = 65_536;
/// How many networks of the latest logins are remembered for an account. Each of them adds the attempts
/// of one email from one network to those that the account allows. The bound is per account, so that one
/// account can't evict the networks of others.
const NETWORKS: usize = 8;

/// The limits and the attempts of the last minute.
pub(crate) struct LoginLimiter {
    /// Behind one lock: no other attempt may come between reading the counts and increasing them.
    attempts: Mutex<Attempts>,
    /// A random key, so that a client can't choose emails that share a count.
    digest: RandomState,
}

/// Emails are kept as digests, so that a long email takes no more room than a short one.
struct Attempts {
    by_pair: Counts<u64>,
    by_network: Counts<Network>,
    by_email: Counts<u64>,
    /// By email: the pairs with networks from which its account was logged in to, the latest first.
    known: Cache<u64, Vec<u64>>,
}

/// An attempt that was counted.
pub(super) struct Attempt {
    email: u64,
    pair: u64,
    /// Whether this network is one of the account's latest logins.
    pub(super) is_known: bool,
    at: Timestamp,
}

impl LoginLimiter {
    /// Allows `attempts` a minute by one email from one network, ten times as many from one network,
    /// and as many by one email.
    pub(crate) fn new(attempts: u32) -> Self {
        let many = attempts.saturating_mul(FACTOR);
        let attempts = Mutex::new(Attempts {
            by_pair: Counts::new(attempts),
            by_network: Counts::new(many),
            by_email: Counts::new(many),
            known: Cache::new(ACCOUNTS),
        });
        Self { attempts, digest: RandomState::new() }
    }

    /// Counts an attempt. A refused attempt does not count: a client that waits for as long as the error
    /// says is allowed its next attempt, even if it made others meanwhile.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] with the limit that lasts longest.
    pub(super) fn count(
        &self,
        email: &Email,
        network: Network,
        now: Timestamp,
    ) -> Result<Attempt, Error> {
        let email = self.digest.hash_one(email.key());
        let pair = self.digest.hash_one((email, network));
        let Attempts { by_pair, by_network, by_email, known } = &mut *self.lock();
        let is_known = known.get(&email).is_some_and(|pairs| pairs.contains(&pair));
        let waits = [
            by_pair.wait(&pair, now),
            by_network.wait(&network, now),
            if is_known { None } else { by_email.wait(&email, now) },
        ];
        if let Some((wait, limit)) = waits.into_iter().flatten().max() {
            let until = now.plus(i64::from(wait));
            return Err(Error::TooManyAttempts { limit, wait, until });
        }
        by_pair.count(pair, now);
        by_network.count(network, now);
        if !is_known {
            by_email.count(email, now);
        }
        Ok(Attempt { email, pair, is_known, at: now })
    }

    /// Records that an attempt had the right password. It clears the attempts with its email from its network,
    /// and remembers the network for the account. The network's other attempts still count, so that an
    /// attacker with an account can't reset them. So do attempts with the email from other networks.
    pub(super) fn succeeded(&self, attempt: Attempt) {
        let Attempt { email, pair, .. } = attempt;
        let attempts = &mut *self.lock();
        attempts.give_back_to_email(&attempt);
        attempts.by_pair.clear(&pair);
        if let Some(mut pairs) = attempts.known.get_mut(&email) {
            pairs.retain(|&other| other != pair);
            pairs.insert(0, pair);
            pairs.truncate(NETWORKS);
            return;
        }
        attempts.known.insert(email, vec![pair]);
    }

    /// Uncounts an attempt that the server was too busy to decide, except in its network's count. So a network
    /// that keeps the server busy uses up its own attempts, not those of the email.
    pub(super) fn turned_away(&self, attempt: Attempt) {
        let attempts = &mut *self.lock();
        attempts.give_back_to_email(&attempt);
        attempts.by_pair.give_back(&attempt.pair, attempt.at);
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        // No code panics while it holds the lock, and the counts would be whole even if it did.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempts {
    fn give_back_to_email(&mut self, attempt: &Attempt) {
        if !attempt.is_known {
            self.by_email.give_back(&attempt.email, attempt.at);
        }
    }
}
