//! The log: one line for each record, with control characters escaped. Warnings and errors are rate
//! limited, so that a client can't fill the disk: at most one line a second for each place in the program
//! that logs them, with a count of the skipped ones.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::app;
use crate::domain::Escaped;
use crate::metrics::MALFORMED_REQUESTS;

/// The least time between two lines of one kind.
const INTERVAL: Duration = Duration::from_secs(1);

/// Starts logging to standard error. `filter` is an env_logger filter.
pub(super) fn start(filter: &str) {
    let lines = env_logger::Builder::new().parse_filters(filter).build();
    // Malformed requests are logged as errors and counted here, even if the filter hides them.
    let level = lines.filter().max(LevelFilter::Error);
    let logger = Logger { lines, samples: Mutex::default() };
    // This fails only if another logger is set already.
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level);
    }
}

struct Logger {
    lines: env_logger::Logger,
    /// Keyed by target and line.
    samples: Mutex<Samples<(String, Option<u32>)>>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        app::is_malformed_request(metadata) || self.lines.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if app::is_malformed_request(record.metadata()) {
            MALFORMED_REQUESTS.fetch_add(1, Ordering::Relaxed);
        }
        if !self.lines.matches(record) {
            return;
        }
        let mut remark = String::new();
        // Warnings of the command line are exempt: one place logs several, and no client can cause them.
        if record.level() <= Level::Warn && !record.target().starts_with("bearerd::cli") {
            let kind = (record.target().to_owned(), record.line());
            let samples = self.samples.lock();
            let admitted =
                samples.unwrap_or_else(PoisonError::into_inner).admit(kind, Instant::now());
            let Some(skipped) = admitted else { return };
            if let Some(peer) = app::peer() {
                remark += &format!(" (from {peer})");
            }
            if skipped > 0 {
                remark += &format!(" (and {skipped} like it that were not logged)");
            }
        }
        let text = format!("{}{remark}", record.args());
        self.lines.log(
            &Record::builder()
                .metadata(record.metadata().clone())
                .module_path(record.module_path())
                .file(record.file())
                .line(record.line())
                .args(format_args!("{}", Escaped(&text)))
                .build(),
        );
    }

    fn flush(&self) {
        self.lines.flush();
    }
}

/// Admits one event of each kind in an [`INTERVAL`]. Kinds stay in memory, so there must be few.
#[derive(Default)]
struct Samples<K>(HashMap<K, Sample>);

struct Sample {
    admitted: Instant,
    skipped: u64,
}

impl<K: Eq + std::hash::Hash> Samples<K> {
    /// Admits an event and returns how many of its kind were skipped before it, or skips it (`None`).
    fn admit(&mut self, kind: K, now: Instant) -> Option<u64> {
        let Some(sample) = self.0.get_mut(&kind) else {
            self.0.insert(kind, Sample { admitted: now, skipped: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(sample.admitted) < INTERVAL {
            sample.skipped += 1;
            return None;
        }
        sample.admitted = now;
        Some(std::mem::take(&mut sample.skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_kind_is_admitted_a_second_and_the_others_are_counted() {
        let mut samples = Samples::default();
        let start = Instant::now();
        let mut at = |kind, millis| samples.admit(kind, start + Duration::from_millis(millis));
        assert_eq!(at("a", 0), Some(0));
        assert_eq!([at("a", 0), at("a", 999)], [None, None]);
        assert_eq!(at("b", 999), Some(0), "another kind");
        assert_eq!(at("a", 1000), Some(2));
        assert_eq!(at("a", 2500), Some(0));
    }
}
