//! Limits how many lines reach the log: one a second for each kind, with a count of the skipped ones.
//!
//! A kind is a place in the program. bearerd's own lines from one place are of different kinds if their
//! words differ: "disk full" must not hide "file replaced". Numbers and request ids don't count as words. The
//! lines of other crates can contain what a client sent, so their words don't count at all.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::{Duration, Instant};

use log::{Level, Record};

/// The least time between two lines of one kind.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many kinds one place can have in an [`INTERVAL`]. Further ones count as the last of them.
const KINDS: usize = 8;

/// Admits one line of each kind in an [`INTERVAL`]. Places stay in memory: the program has few.
#[derive(Default)]
pub(super) struct Sampler(HashMap<u64, Vec<Sample>>);

/// The last admitted line of one kind.
#[derive(Clone)]
pub(super) struct Sample {
    words: u64,
    admitted: Instant,
    /// How many lines were skipped since then.
    pub(super) skipped: u64,
    pub(super) level: Level,
    pub(super) target: String,
    pub(super) text: String,
}

impl Sampler {
    /// Admits a line and returns how many of its kind were skipped before it, or skips it (`None`).
    pub(super) fn admit(&mut self, record: &Record<'_>, text: &str, now: Instant) -> Option<u64> {
        let words = if record.target().starts_with("bearerd") { hash_of_words(text) } else { 0 };
        let sample = || Sample {
            words,
            admitted: now,
            skipped: 0,
            level: record.level(),
            target: record.target().to_owned(),
            text: text.to_owned(),
        };
        let kinds = self.0.entry(hash_of_place(record)).or_default();
        if let Some(known) = kinds.iter_mut().find(|kind| kind.words == words) {
            if !known.is_due(now) {
                known.skipped += 1;
                return None;
            }
            let skipped = known.skipped;
            *known = sample();
            return Some(skipped);
        }
        if kinds.len() == KINDS {
            let Some(old) = kinds.iter().position(|kind| kind.skipped == 0 && kind.is_due(now))
            else {
                kinds[KINDS - 1].skipped += 1;
                return None;
            };
            kinds.remove(old);
        }
        kinds.push(sample());
        Some(0)
    }

    /// Takes the counts of lines that were skipped and that no later line of their kind has reported
    /// within another [`INTERVAL`]; with `all`, every count.
    pub(super) fn take_unreported(&mut self, now: Instant, all: bool) -> Vec<Sample> {
        let kinds = self.0.values_mut().flatten();
        let due = kinds.filter(|kind| {
            kind.skipped > 0
                && (all || now.saturating_duration_since(kind.admitted) >= 2 * INTERVAL)
        });
        due.map(|kind| {
            let taken = kind.clone();
            kind.skipped = 0;
            taken
        })
        .collect()
    }
}

impl Sample {
    fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.admitted) >= INTERVAL
    }
}

fn hash_of_place(record: &Record<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (record.level(), record.target(), record.line()).hash(&mut hasher);
    hasher.finish()
}

fn hash_of_words(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.split_whitespace().filter(|word| !is_number(word)).for_each(|word| word.hash(&mut hasher));
    hasher.finish()
}

/// Whether a word is a number, also with a unit, or hexadecimal with a digit.
fn is_number(word: &str) -> bool {
    let is_hexadecimal = || !word.contains(|c: char| c.is_alphanumeric() && !c.is_ascii_hexdigit());
    word.starts_with(|c: char| c.is_ascii_digit())
        || word.contains(|c: char| c.is_ascii_digit()) && is_hexadecimal()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Log(Sampler, Instant);

    impl Log {
        fn new() -> Self {
            Self(Sampler::default(), Instant::now())
        }

        fn at(&mut self, millis: u64, target: &str, line: u32, text: &str) -> Option<u64> {
            let mut record = Record::builder();
            let record = record.level(Level::Error).target(target).line(Some(line)).build();
            self.0.admit(&record, text, self.1 + Duration::from_millis(millis))
        }

        fn unreported(&mut self, millis: u64, all: bool) -> Vec<(String, u64)> {
            let samples = self.0.take_unreported(self.1 + Duration::from_millis(millis), all);
            samples.into_iter().map(|sample| (sample.text, sample.skipped)).collect()
        }
    }

    #[test]
    fn one_line_of_each_place_is_admitted_a_second_and_the_others_are_counted() {
        let mut log = Log::new();
        assert_eq!(log.at(0, "h2", 1, "a"), Some(0));
        assert_eq!([log.at(0, "h2", 1, "b"), log.at(999, "h2", 1, "c")], [None, None]);
        assert_eq!(log.at(999, "h2", 2, "a"), Some(0), "another place");
        assert_eq!(log.at(1000, "h2", 1, "a"), Some(2));
        assert_eq!(log.at(2500, "h2", 1, "a"), Some(0));
    }

    #[test]
    fn lines_of_one_place_with_other_words_are_of_another_kind() {
        let mut log = Log::new();
        let mut admitted = |text| log.at(0, "bearerd::http", 1, text).is_some();
        assert!(admitted("request 0a1f failed: the disk is full"));
        assert!(!admitted("request b7fe failed: the disk is full"), "only the id differs");
        assert!(admitted("request 0a1f failed: the file was replaced"));
    }

    #[test]
    fn one_place_has_few_kinds_at_a_time() {
        let mut log = Log::new();
        let admitted = |log: &mut Log, millis| {
            let words = (0..100).map(|n| "x".repeat(n + 1));
            words.filter(|word| log.at(millis, "bearerd", 1, word).is_some()).count()
        };
        assert_eq!(admitted(&mut log, 0), KINDS);
        assert_eq!(log.unreported(0, true), [("x".repeat(KINDS), 92)]);
        assert_eq!(admitted(&mut log, 1000), KINDS);
    }

    #[test]
    fn a_count_that_no_later_line_reports_is_reported_once() {
        let mut log = Log::new();
        log.at(0, "h2", 1, "a");
        log.at(1, "h2", 1, "b");
        assert_eq!(log.unreported(1999, false), []);
        assert_eq!(log.unreported(2000, false), [("a".to_owned(), 1)]);
        assert_eq!(log.unreported(4000, true), []);
    }
}
