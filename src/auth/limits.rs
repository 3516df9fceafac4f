//! How often a password may be tried, at a login or for an account's change: by one email from one
//! address, and by one address whatever the email. Counted over the sixty seconds before each
//! attempt, not from one full minute to the next, so that no sixty seconds see more than the limit.
//!
//! The memory is bounded, so a flood from very many addresses can make the limiter forget. What it
//! forgets is what was tried once: a key that comes back is kept before those that do not.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use quick_cache::unsync::Cache;

use super::Error;
use crate::domain::{Email, Timestamp};

/// How many times the attempts of an email and address one address has, over all emails: enough
/// for an office behind one address, and few for somebody who tries one password on many emails.
const ADDRESS_FACTOR: u32 = 10;
/// Emails with their address, and addresses, that are remembered at most.
const CAPACITY: usize = 65_536;
/// The seconds over which attempts are counted.
const SPAN: u8 = 60;

/// The limits, and what counts towards them.
pub(crate) struct LoginLimiter {
    /// Behind one lock: between the look at both counts and their increase no other attempt may come.
    attempts: Mutex<Attempts>,
    /// Keyed at random, so that nobody can choose emails that share a count.
    digest: RandomState,
}

struct Attempts {
    /// By a digest, so that a long email takes no more room than a short one.
    pairs: Counts<u64>,
    addresses: Counts<IpAddr>,
}

impl LoginLimiter {
    /// Allows `attempts` a minute by one email from one address, and ten times as many by one
    /// address.
    pub(crate) fn new(attempts: u32) -> Self {
        let addresses = Counts::new(attempts.saturating_mul(ADDRESS_FACTOR));
        let attempts = Mutex::new(Attempts { pairs: Counts::new(attempts), addresses });
        Self { attempts, digest: RandomState::new() }
    }

    /// Counts an attempt. One that is refused does not count: whoever waits as long as
    /// they are told gets in, whatever they did meanwhile.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] tells of the limit that holds for longer.
    pub(super) fn count(&self, email: &Email, from: IpAddr, now: Timestamp) -> Result<(), Error> {
        let address = network(from);
        let pair = self.pair(email, address);
        let Attempts { pairs, addresses } = &mut *self.lock();
        let waits = [
            pairs.wait(&pair, now).map(|wait| (wait, pairs.limit)),
            addresses.wait(&address, now).map(|wait| (wait, addresses.limit)),
        ];
        if let Some((wait, limit)) = waits.into_iter().flatten().max() {
            let until = now.plus(i64::from(wait));
            return Err(Error::TooManyAttempts { limit, wait, until });
        }
        pairs.count(pair, now);
        addresses.count(address, now);
        Ok(())
    }

    /// Takes back an attempt that was counted `at` this time and came to nothing.
    pub(super) fn give_back(&self, email: &Email, from: IpAddr, at: Timestamp) {
        let address = network(from);
        let pair = self.pair(email, address);
        let Attempts { pairs, addresses } = &mut *self.lock();
        pairs.give_back(&pair, at);
        addresses.give_back(&address, at);
    }

    /// Forgets the attempts by this email from this address. Those of the address stay: an account
    /// of one's own is no way to try more of other people's.
    pub(super) fn clear(&self, email: &Email, from: IpAddr) {
        let pair = self.pair(email, network(from));
        self.lock().pairs.by_key.remove(&pair);
    }

    /// The digest of an email, without regard to case, and a network.
    fn pair(&self, email: &Email, network: IpAddr) -> u64 {
        self.digest.hash_one((email.as_str().to_ascii_lowercase(), network))
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        // No code panics while it holds the counts; were they poisoned, they would still be whole.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is one client: an IPv4 address, or the /64 that an IPv6 client has to itself and can take
/// any address from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

struct Counts<K> {
    limit: u32,
    by_key: Cache<K, Count>,
}

impl<K: Eq + Hash> Counts<K> {
    fn new(limit: u32) -> Self {
        Self { limit, by_key: Cache::new(CAPACITY) }
    }

    /// The seconds until another attempt is allowed; `None` if it is now.
    fn wait(&mut self, key: &K, now: Timestamp) -> Option<u8> {
        let mut count = self.by_key.get_mut(key)?;
        count.advance(now);
        count.wait(self.limit)
    }

    fn count(&mut self, key: K, now: Timestamp) {
        if let Some(mut count) = self.by_key.get_mut(&key) {
            count.advance(now);
            count.increase();
            return;
        }
        let mut count = Count::from(now);
        count.increase();
        self.by_key.insert(key, count);
    }

    fn give_back(&mut self, key: &K, at: Timestamp) {
        if let Some(mut count) = self.by_key.get_mut(key) {
            count.decrease(at);
        }
    }
}

/// How many attempts each of the last sixty seconds saw.
struct Count {
    /// The last of them, in Unix seconds.
    newest: i64,
    /// Each second at its remainder by sixty.
    seconds: [u32; SPAN as usize],
}

impl Count {
    /// No attempts until `now`.
    fn from(now: Timestamp) -> Self {
        Self { newest: now.as_unix(), seconds: [0; SPAN as usize] }
    }

    /// Moves on to `now`. A clock set back by less than the span stands still; by more, nobody can
    /// tell how long ago the attempts were, and none counts.
    fn advance(&mut self, now: Timestamp) {
        let passed = now.as_unix().saturating_sub(self.newest);
        if passed.unsigned_abs() >= u64::from(SPAN) {
            *self = Self::from(now);
        }
        while self.newest < now.as_unix() {
            self.newest += 1;
            *self.ago(0) = 0;
        }
    }

    fn increase(&mut self) {
        *self.ago(0) += 1;
    }

    /// Takes one back from the second `at`, if that is not out of sight.
    fn decrease(&mut self, at: Timestamp) {
        // One that a clock set back let count late stays: it counts where the time then stood.
        let age = u8::try_from(self.newest.saturating_sub(at.as_unix()));
        if let Some(age) = age.ok().filter(|&age| age < SPAN) {
            let attempts = self.ago(age);
            *attempts = attempts.saturating_sub(1);
        }
    }

    /// The seconds until fewer than `limit` attempts lie within the span.
    fn wait(&mut self, limit: u32) -> Option<u8> {
        let mut total: u32 = self.seconds.iter().sum();
        // The oldest leave first; at the limit, there are some to leave.
        let mut ages = (0..SPAN).rev();
        let mut wait = None;
        while total >= limit {
            let age = ages.next()?;
            total -= *self.ago(age);
            wait = Some(SPAN - age);
        }
        wait
    }

    /// The attempts of the second that was `age` seconds before the newest.
    fn ago(&mut self, age: u8) -> &mut u32 {
        let second = self.newest.saturating_sub(i64::from(age));
        &mut self.seconds[second.rem_euclid(i64::from(SPAN)) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix(1_767_225_600 + second)
    }

    fn email(text: &str) -> Email {
        Email::parse(text).unwrap()
    }

    /// The wait and the limit of a refusal.
    fn refusal(counted: Result<(), Error>) -> Option<(u8, u32)> {
        match counted {
            Ok(()) => None,
            Err(Error::TooManyAttempts { limit, wait, .. }) => Some((wait, limit)),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn no_sixty_seconds_see_more_than_the_limit() {
        let limiter = LoginLimiter::new(5);
        let count = |second| refusal(limiter.count(&email("ada@example.org"), HOME, at(second)));
        for second in [0, 50, 50, 50, 50] {
            assert_eq!(count(second), None);
        }
        assert_eq!(count(59), Some((1, 5)));
        assert_eq!(count(60), None);
        assert_eq!(count(60), Some((50, 5)));
        assert_eq!(count(109), Some((1, 5)));
        assert_eq!(count(110), None);
    }

    #[test]
    fn another_email_or_address_is_not_held_up() {
        let limiter = LoginLimiter::new(1);
        let count = |text: &str, address: &str| {
            refusal(limiter.count(&email(text), address.parse().unwrap(), at(0))).is_none()
        };
        assert!(count("ada@example.org", "192.0.2.1"));
        assert!(!count("ADA@Example.ORG", "192.0.2.1"), "case makes no other email");
        assert!(!count("ada@example.org", "::ffff:192.0.2.1"), "nor does IPv6 another address");
        assert!(count("bob@example.org", "192.0.2.1"));
        assert!(count("ada@example.org", "192.0.2.2"));
        assert!(count("ada@example.org", "2001:db8:0:1::1"));
        assert!(!count("ada@example.org", "2001:db8:0:1:ffff::2"), "a client's own /64");
        assert!(count("ada@example.org", "2001:db8:0:2::1"));
    }

    #[test]
    fn one_address_gets_ten_times_as_many() {
        let limiter = LoginLimiter::new(5);
        let count = |i: i32, second| {
            refusal(limiter.count(&email(&format!("u{i}@example.org")), HOME, at(second)))
        };
        for i in 0..50 {
            assert_eq!(count(i, 0), None);
        }
        assert_eq!(count(50, 1), Some((59, 50)));
        assert_eq!(limiter.lock().pairs.by_key.len(), 50, "a refusal takes no memory");
        assert_eq!(count(50, 60), None);
    }

    #[test]
    fn success_clears_the_pair_and_not_the_address() {
        let limiter = LoginLimiter::new(2);
        let ada = email("ada@example.org");
        for _ in 0..20 {
            assert_eq!(refusal(limiter.count(&ada, HOME, at(0))), None);
            limiter.clear(&email("Ada@example.org"), HOME);
        }
        assert_eq!(refusal(limiter.count(&ada, HOME, at(0))), Some((60, 20)));
    }

    #[test]
    fn an_attempt_that_is_given_back_does_not_count() {
        let limiter = LoginLimiter::new(2);
        let ada = email("ada@example.org");
        let count = |second| refusal(limiter.count(&ada, HOME, at(second)));
        assert_eq!([count(0), count(10)], [None, None]);
        limiter.give_back(&ada, HOME, at(0));
        assert_eq!(count(20), None, "that of second 10 stays");
        assert_eq!(count(20), Some((50, 2)));
        let (first, last) = (Timestamp::from_unix(i64::MIN), Timestamp::from_unix(i64::MAX));
        for none_then in [first, at(-100), at(19), at(21), at(100), last] {
            limiter.give_back(&ada, HOME, none_then);
            limiter.give_back(&email("a@b"), HOME, at(0));
        }
        assert_eq!(count(20), Some((50, 2)));
        for second in 100..200 {
            assert_eq!(count(second), None, "nor for the address");
            limiter.give_back(&ada, HOME, at(second));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let limiter = LoginLimiter::new(1);
        let count = |second| refusal(limiter.count(&email("ada@example.org"), HOME, at(second)));
        assert_eq!(count(0), None);
        assert!(count(-5).is_some());
        assert_eq!(count(-4000), None);
        assert_eq!(
            refusal(limiter.count(&email("a@b"), HOME, Timestamp::from_unix(i64::MAX))),
            None
        );
        assert_eq!(
            refusal(limiter.count(&email("a@b"), HOME, Timestamp::from_unix(i64::MIN))),
            None
        );
    }

    #[test]
    fn a_million_emails_from_as_many_addresses_leave_the_memory_bounded() {
        let limiter = LoginLimiter::new(5);
        let ada = email("ada@example.org");
        for _ in 0..5 {
            limiter.count(&ada, HOME, at(0)).unwrap();
        }
        for i in 0..1_000_000_u32 {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + i).into();
            limiter.count(&email(&format!("{i}@example.org")), address, at(0)).unwrap();
            if i % 10_000 == 0 {
                assert!(limiter.count(&ada, HOME, at(0)).is_err(), "forgotten after {i}");
            }
        }
        let attempts = limiter.lock();
        assert!(attempts.pairs.by_key.len() <= CAPACITY);
        assert!(attempts.addresses.by_key.len() <= CAPACITY);
        let used = attempts.pairs.by_key.memory_used().total()
            + attempts.addresses.by_key.memory_used().total();
        assert!(used < 64 << 20, "{used} bytes");
    }

    #[test]
    fn of_many_attempts_at_once_no_more_than_the_limit_pass() {
        let limiter = LoginLimiter::new(5);
        let ada = email("ada@example.org");
        let passed = std::thread::scope(|scope| {
            let attempt = || (0..100).filter(|_| limiter.count(&ada, HOME, at(0)).is_ok()).count();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(attempt)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(passed, 5);
    }

    proptest! {
        #[test]
        fn what_passes_and_for_how_long_the_rest_waits_is_as_if_each_attempt_were_kept(
            limit in 1_u32..6,
            steps in prop::collection::vec(0_i64..30, 1..60),
        ) {
            let mut counts = Counts::new(limit);
            let (mut passed, mut second) = (Vec::<i64>::new(), 0);
            for step in steps {
                second += step;
                let within = |at: i64| passed.iter().filter(|&&then| then > at - 60).count();
                let free = |&at: &i64| within(at) < limit as usize;
                let expected = (second..).find(free).map(|free| (free - second) as u8);
                prop_assert_eq!(counts.wait(&(), at(second)).unwrap_or(0), expected.unwrap());
                if expected == Some(0) {
                    counts.count((), at(second));
                    passed.push(second);
                }
            }
        }
    }
}
