//! Checkpoints: the writer copies the pages of the write-ahead log into the database, so that the log can be
//! written from its start again.
//!
//! SQLite's own checkpoints are off, because they fail silently. Here each result is counted, and a checkpoint
//! that fails makes the server not ready until one succeeds. They run after a batch was answered, so that no
//! client waits for one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::statements::statements;
use crate::metrics::{Checkpoint, Metrics};

/// A log of so many pages, 32 MB, is checkpointed. So a page that many commits change is copied once.
const PAGES: i64 = 8_000;
/// No log has this many pages that takes fewer bytes on the disk.
const BYTES: u64 = PAGES as u64 * 4_096;
/// A log of this size, which some program's read keeps from being checkpointed, is worth a warning.
const LARGE: u64 = 128 << 20;
const REMINDER: Duration = Duration::from_secs(60);

/// Why the last checkpoint failed, if it did. Clones share it.
#[derive(Clone, Default)]
pub(in crate::store) struct LastFailure(Arc<Mutex<Option<String>>>);

impl LastFailure {
    pub(in crate::store) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what it was before.
    fn set(&self, failure: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), failure)
    }
}

statements! {
    // It only tells how far the log is.
    Measure: "PRAGMA wal_checkpoint(NOOP)";
    // It waits for nobody: what a reader may still need stays in the log.
    CopyPages: "PRAGMA wal_checkpoint(PASSIVE)";
}

#[derive(QueryableByName)]
struct Progress {
    /// Whether another process runs a checkpoint.
    #[diesel(sql_type = BigInt)]
    busy: i64,
    /// The log's pages.
    #[diesel(sql_type = BigInt)]
    log: i64,
    /// Those of them that are copied.
    #[diesel(sql_type = BigInt)]
    checkpointed: i64,
}

pub(in crate::store) struct Checkpoints {
    last_failure: LastFailure,
    metrics: Metrics,
    /// When the next one may run, if the last one was not complete.
    next: Option<Instant>,
    /// When the size of the log was last logged.
    warned: Option<Instant>,
}

impl Checkpoints {
    pub(in crate::store) fn new(last_failure: LastFailure, metrics: Metrics) -> Self {
        Self { last_failure, metrics, next: None, warned: None }
    }

    /// Runs a checkpoint if one is due. The log's file has `bytes`.
    pub(in crate::store) fn run(&mut self, connection: &mut SqliteConnection, bytes: u64) {
        let has_failed = self.last_failure.get().is_some();
        let is_early = self.next.is_some_and(|next| Instant::now() < next);
        if is_early || bytes < BYTES && !has_failed {
            return;
        }
        let log = Measure {}.get_result(connection).map_or(0, |Progress { log, .. }| log);
        if log < PAGES && !has_failed {
            return;
        }
        let copied = CopyPages {}.get_result(connection);
        let (result, pause) = match copied {
            Ok(Progress { busy: 0, log, checkpointed }) if log == checkpointed => {
                (Checkpoint::Complete, None)
            }
            Ok(_) => {
                self.warn_of_size(bytes);
                (Checkpoint::Partial, Some(Duration::from_millis(100)))
            }
            Err(error) => {
                log::error!(
                    "the write-ahead log can't be copied into the database, and grows: {error}"
                );
                self.last_failure.set(Some(error.to_string()));
                (Checkpoint::Failed, Some(Duration::from_secs(1)))
            }
        };
        self.metrics.count_checkpoint(result);
        self.next = pause.map(|pause| Instant::now() + pause);
        if !matches!(result, Checkpoint::Failed) && self.last_failure.set(None).is_some() {
            log::info!("the write-ahead log is copied into the database again");
        }
    }

    fn warn_of_size(&mut self, bytes: u64) {
        let is_due = self.warned.is_none_or(|last| last.elapsed() >= REMINDER);
        if bytes >= LARGE && is_due {
            self.warned = Some(Instant::now());
            log::warn!(
                "the write-ahead log has grown to {} MiB, because a program that reads the database has kept \
                 its transaction open; end that program",
                bytes >> 20
            );
        }
    }

    /// Empties the log before the connection closes.
    pub(in crate::store) fn finish(&self, connection: &mut SqliteConnection) {
        // SQLite does this too when the last connection closes, but another process may have one.
        let checkpoint = "PRAGMA busy_timeout = 100; PRAGMA wal_checkpoint(TRUNCATE);";
        if let Err(error) = connection.batch_execute(checkpoint) {
            log::warn!("the write-ahead log could not be checkpointed: {error}");
        }
    }
}
