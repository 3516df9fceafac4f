//! The table `changes`, the change log: what may no longer be served from a cache. Triggers fill it, in the
//! transaction of each change, also of other processes; see the migration `log_changes`.
//!
//! The writer and the poller both read it and apply what they read. They share the position up to which it is
//! applied. Its lock is held while changes are applied, never while the file is read, so that a reader that
//! hangs delays no other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::cache_invalidation::{CacheInvalidation, Change};
use super::sqlite::statements::statements;

statements! {
    Since: "SELECT seq, kind, id FROM changes WHERE seq >= " [seq: i64 as BigInt] " ORDER BY seq";
    Newest: "SELECT ifnull(max(seq), 0) AS seq FROM changes";
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct Position {
    #[diesel(sql_type = BigInt)]
    seq: i64,
}

/// The change log, as far as it is applied to the token cache.
#[derive(Debug)]
pub(super) struct ChangeLog {
    invalidation: Arc<CacheInvalidation>,
    /// The last row that was applied, 0 before the first one; `None` while it isn't known.
    applied: Mutex<Option<i64>>,
    /// Whether nothing is applied any more.
    ended: AtomicBool,
}

/// What was read of the change log.
pub(super) struct News {
    /// When the read began: all that was committed by then is in it.
    began: Instant,
    /// The last row that was applied before.
    since: Option<i64>,
    /// The rows after it; `None` if some are missing, so that anything may have changed.
    changes: Option<Vec<(i64, Change)>>,
    /// The last row.
    last: i64,
}

impl ChangeLog {
    pub(super) fn new(invalidation: Arc<CacheInvalidation>) -> Self {
        Self { invalidation, applied: Mutex::new(None), ended: AtomicBool::new(false) }
    }

    /// Reads the rows after the last one that was applied. Within a transaction, its own are among them.
    pub(super) fn read(&self, connection: &mut SqliteConnection) -> QueryResult<News> {
        // Before the file is read: a row that is applied later than this is applied again, and none is missed.
        let since = *self.applied();
        let began = Instant::now();
        if let Some(applied) = since {
            let rows = Since { seq: applied }.load::<Row>(connection)?;
            let last = rows.last().map_or(0, |row| row.seq);
            // The last row that was applied must be there still, or some after it may be gone.
            let is_whole = match rows.first() {
                Some(first) => first.seq == applied.max(1),
                None => applied == 0,
            };
            let news = rows.iter().filter(|row| row.seq > applied);
            let changes = news.map(|row| Some((row.seq, row.change()?))).collect::<Option<_>>();
            if is_whole && changes.is_some() {
                return Ok(News { began, since, changes, last });
            }
        }
        let Position { seq } = Newest {}.get_result(connection)?;
        Ok(News { began, since, changes: None, last: seq })
    }

    /// Invalidates what the rows name, once they are committed, unless they were applied meanwhile.
    pub(super) fn apply(&self, news: News) {
        let mut applied = self.applied();
        if self.has_ended() {
            return;
        }
        match (*applied, news.changes) {
            (Some(last), Some(changes)) if news.since.is_some_and(|since| since <= last) => {
                let newer = changes.into_iter().filter(|(seq, _)| *seq > last);
                self.invalidation.invalidate(newer.map(|(_, change)| change));
                *applied = Some(last.max(news.last));
            }
            _ => {
                self.invalidation.invalidate_all();
                *applied = Some(news.last);
            }
        }
        self.invalidation.refresh(news.began);
    }

    /// Lets no cached session pass, and makes the next read take it that anything may have changed.
    pub(super) fn lose_place(&self) {
        let mut applied = self.applied();
        *applied = None;
        self.invalidation.expire();
    }

    /// Lets no cached session pass, for ever.
    pub(super) fn end(&self) {
        let _applied = self.applied();
        self.ended.store(true, Ordering::Release);
        self.invalidation.expire();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether cached sessions may pass: see [`Freshness`](super::cache_invalidation::Freshness).
    pub(super) fn is_fresh(&self) -> bool {
        self.invalidation.freshness().lasts()
    }

    /// Lets nothing be applied until the result is dropped.
    #[cfg(test)]
    pub(super) fn hold(&self) -> impl Drop + '_ {
        self.applied()
    }

    fn applied(&self) -> MutexGuard<'_, Option<i64>> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    fn change(&self) -> Option<Change> {
        match self.kind.as_str() {
            "token" => Some(Change::Token(self.id)),
            "user" => Some(Change::User(self.id)),
            "family" => Some(Change::Family(self.id)),
            "purge" => Some(Change::Purge(self.id)),
            // A later release's.
            _ => None,
        }
    }
}
