//! The table `changes`, the change log: what may no longer be served from a cache. Triggers fill it, in the
//! transaction of each change, also of other processes; see the migration `log_changes`.

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

/// A place in the change log.
#[derive(Default)]
pub(super) struct ChangeLog {
    /// The last row that was applied, 0 before the first one; `None` while it isn't known.
    applied: Option<i64>,
}

/// Rows of the change log that are not applied yet.
pub(super) struct News {
    /// The changes; `None` if some are missing, so that anything may have changed.
    changes: Option<Vec<Change>>,
    /// The last row.
    last: i64,
}

impl ChangeLog {
    /// Reads the rows after the last one that was applied. Within a transaction, its own are among them.
    pub(super) fn read(&self, connection: &mut SqliteConnection) -> QueryResult<News> {
        if let Some(applied) = self.applied {
            let rows = Since { seq: applied }.load::<Row>(connection)?;
            let last = rows.last().map_or(0, |row| row.seq);
            // The last row that was applied must be there still, or some after it may be gone.
            let is_whole = match rows.first() {
                Some(first) => first.seq == applied.max(1),
                None => applied == 0,
            };
            let news = rows.iter().filter(|row| row.seq > applied).map(Row::change);
            if let Some(changes) = news.collect::<Option<Vec<_>>>().filter(|_| is_whole) {
                return Ok(News { changes: Some(changes), last });
            }
        }
        let Position { seq } = Newest {}.get_result(connection)?;
        Ok(News { changes: None, last: seq })
    }

    /// Invalidates what the rows name, once they are committed.
    pub(super) fn apply(&mut self, news: News, invalidation: &CacheInvalidation) {
        match news.changes {
            Some(changes) => invalidation.invalidate(&changes),
            None => invalidation.invalidate_all(),
        }
        self.applied = Some(news.last);
    }

    /// Makes the next read take it that anything may have changed.
    pub(super) fn lose_place(&mut self) {
        self.applied = None;
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
