//! Attempts by key, counted over the sixty seconds before each attempt and not by the minutes of the
//! clock, so that no sixty seconds see more than the limit.
//!
//! The memory is bounded, so a flood of very many keys evicts counts. Keys that were tried once are evicted
//! before keys that came back.

use std::hash::Hash;

use quick_cache::unsync::Cache;

use crate::domain::Timestamp;

/// Keys that are remembered at most: about 14 MiB of them.
pub(super) const CAPACITY: usize = 32_768;
/// The seconds over which attempts are counted.
const SPAN: u8 = 60;

/// The attempts of each key, and how many of them a minute may have.
pub(super) struct Counts<K> {
    limit: u32,
    by_key: Cache<K, Count>,
}

impl<K: Eq + Hash> Counts<K> {
    /// No attempts yet; each key may have `limit` a minute.
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, by_key: Cache::new(CAPACITY) }
    }

    /// The seconds until another attempt is allowed, and the limit; `None` if it is allowed now.
    pub(super) fn wait(&mut self, key: &K, now: Timestamp) -> Option<(u8, u32)> {
        let mut count = self.by_key.get_mut(key)?;
        count.advance(now);
        count.wait(self.limit).map(|wait| (wait, self.limit))
    }

    /// Counts an attempt.
    pub(super) fn count(&mut self, key: K, now: Timestamp) {
        if let Some(mut count) = self.by_key.get_mut(&key) {
            count.advance(now);
            count.increase();
            return;
        }
        let mut count = Count::from(now);
        count.increase();
        self.by_key.insert(key, count);
    }

    /// Uncounts an attempt that was counted `at` this time.
    pub(super) fn give_back(&mut self, key: &K, at: Timestamp) {
        if let Some(mut count) = self.by_key.get_mut(key) {
            count.decrease(at);
        }
    }

    /// Uncounts every attempt of a key.
    pub(super) fn clear(&mut self, key: &K) {
        self.by_key.remove(key);
    }

    /// How many keys are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The bytes that they take.
    #[cfg(test)]
    pub(super) fn memory_used(&self) -> usize {
        self.by_key.memory_used().total()
    }
}

/// The number of attempts in each of the last sixty seconds.
struct Count {
    /// The last of them, in Unix seconds.
    newest: i64,
    /// The attempts of each second, at the index of the second modulo sixty.
    seconds: [u32; SPAN as usize],
}

impl Count {
    /// No attempts until `now`.
    fn from(now: Timestamp) -> Self {
        Self { newest: now.as_unix(), seconds: [0; SPAN as usize] }
    }

    /// Moves on to `now`. If the clock was set back by less than the span, the count stays where it is. If
    /// by more, the age of the attempts is unknown, and none counts.
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

    /// Uncounts an attempt in the second `at`, if that is within the span.
    fn decrease(&mut self, at: Timestamp) {
        // An attempt that was counted after the clock was set back stays: it was counted in `newest`.
        let age = u8::try_from(self.newest.saturating_sub(at.as_unix()));
        if let Some(age) = age.ok().filter(|&age| age < SPAN) {
            let attempts = self.ago(age);
            *attempts = attempts.saturating_sub(1);
        }
    }

    /// The seconds until fewer than `limit` attempts lie within the span.
    fn wait(&mut self, limit: u32) -> Option<u8> {
        let mut total: u32 = self.seconds.iter().sum();
        // The oldest leave the span first. At the limit, there is at least one.
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
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix(1_767_225_600 + second)
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
                let wait = counts.wait(&(), at(second)).map_or(0, |(wait, _)| wait);
                prop_assert_eq!(wait, expected.unwrap());
                if expected == Some(0) {
                    counts.count((), at(second));
                    passed.push(second);
                }
            }
        }
    }
}
