//! The deletion of dead tokens, in chunks. Each is an ordinary write: what others write meanwhile waits for
//! one chunk at most.

use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::query_builder::QueryFragment;
use diesel::sql_types::{BigInt, Nullable};
use diesel::sqlite::Sqlite;

use super::sqlite::statements::statements;
use super::{Store, StoreError};
use crate::domain::{Lifetime, Timestamp};
use crate::metrics::TokenEvent;

/// Which tokens to delete: those that were dead at a time.
#[derive(Clone, Copy, Debug)]
pub struct Purge {
    /// The time by which they were dead.
    cutoff: Timestamp,
    /// How old tokens may grow.
    ttl: Lifetime,
}

impl Purge {
    /// The tokens that have been dead for `retention` or longer at `now`, where they live for `ttl`.
    pub fn of(retention: Duration, ttl: Lifetime, now: Timestamp) -> Self {
        let retention = i64::try_from(retention.as_secs()).unwrap_or(i64::MAX);
        Self { cutoff: now.minus(retention), ttl }
    }
}

/// How many tokens a purge deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Those that had been revoked.
    pub revoked: usize,
    /// Those that had expired, by their own bound or of age.
    pub expired: usize,
}

impl Purged {
    /// All of them.
    pub fn total(self) -> usize {
        self.revoked + self.expired
    }
}

// A chunk has 250 rows: a few milliseconds of the writer's time, so that token checks on the same core,
// logins and revocations get their turn.
statements! {
    Revoked: "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens \
        WHERE revoked_at <= " [cutoff: i64 as BigInt] " ORDER BY revoked_at LIMIT 250)";
    Expired: "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens \
        WHERE expires_at <= " [cutoff: i64 as BigInt] " ORDER BY expires_at LIMIT 250)";
    BoundOfAge: "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens \
        WHERE ages_from <= " [created_by: i64 as BigInt] " ORDER BY ages_from LIMIT 250)";
    OfAge: "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens \
        WHERE created_at <= " [created_by: i64 as BigInt] " ORDER BY created_at LIMIT 250)";
    InBulk: "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens \
        WHERE user_id = " [user_id: i64 as BigInt] " AND id <= " [through: i64 as BigInt]
        " AND id IS NOT " [kept: Option<i64> as Nullable<BigInt>] " LIMIT 250)";
    NextBulk: "SELECT id, user_id, through, kept FROM bulk_revocations \
        WHERE revoked_at <= " [cutoff: i64 as BigInt] " ORDER BY revoked_at LIMIT 1";
    LogPurge: "INSERT INTO changes (kind, id) VALUES ('purge', " [cutoff: i64 as BigInt] ")";
    BulkDone: "DELETE FROM bulk_revocations WHERE id = " [id: i64 as BigInt];
}

/// Tokens of one user that were revoked together.
#[derive(Clone, Copy, QueryableByName)]
struct Bulk {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = BigInt)]
    through: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    kept: Option<i64>,
}

impl Store {
    /// Deletes dead tokens until none is left.
    ///
    /// # Errors
    /// [`StoreError`] of the first chunk that fails; those before it stay deleted.
    pub async fn purge(&self, purge: Purge) -> Result<Purged, StoreError> {
        let cutoff = purge.cutoff.as_unix();
        let mut purged = Purged {
            revoked: self.delete_in_chunks(cutoff, move || Revoked { cutoff }).await?,
            expired: self.delete_in_chunks(cutoff, move || Expired { cutoff }).await?,
        };
        while let Some(bulk) = self.next_bulk(cutoff).await? {
            let Bulk { id, user_id, through, kept } = bulk;
            purged.revoked +=
                self.delete_in_chunks(cutoff, move || InBulk { user_id, through, kept }).await?;
            self.write(move |c| Ok(BulkDone { id }.execute(c)?)).await?;
        }
        if let Some(created_by) = purge.ttl.age_cutoff(purge.cutoff) {
            let created_by = created_by.as_unix();
            // Bound tokens before their parents.
            let bound = move || BoundOfAge { created_by };
            purged.expired += self.delete_in_chunks(cutoff, bound).await?;
            purged.expired += self.delete_in_chunks(cutoff, move || OfAge { created_by }).await?;
        }
        Ok(purged)
    }

    async fn next_bulk(&self, cutoff: i64) -> Result<Option<Bulk>, StoreError> {
        self.read(move |c| NextBulk { cutoff }.get_result::<Bulk>(c).optional()).await
    }

    /// Runs a deletion of tokens that were dead by `cutoff` until it finds no more rows. Returns how many it
    /// deleted.
    async fn delete_in_chunks<D>(
        &self,
        cutoff: i64,
        deletion: impl Fn() -> D + Copy + Send + 'static,
    ) -> Result<usize, StoreError>
    where
        D: RunQueryDsl<SqliteConnection> + QueryFragment<Sqlite> + diesel::query_builder::QueryId,
    {
        let mut total = 0;
        loop {
            let start = Instant::now();
            let deleted = self.write(move |c| {
                let deleted = deletion().execute(c)?;
                if deleted > 0 {
                    LogPurge { cutoff }.execute(c)?;
                }
                Ok(deleted)
            });
            let deleted = deleted.await?;
            if deleted == 0 {
                return Ok(total);
            }
            total += deleted;
            self.0.metrics.count_token_events(TokenEvent::Purged, deleted);
            // As long as the chunk took: half of the time is for others on the same core.
            tokio::time::sleep(start.elapsed()).await;
        }
    }
}
