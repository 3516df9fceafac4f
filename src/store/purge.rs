//! What the sweeper removes, in chunks that each commit by themselves.

use std::time::Duration;

use diesel::prelude::*;

use super::schema::{tokens, users};
use super::tokens::forget;
use super::{Store, StoreError};
use crate::domain::{Lifetime, Timestamp};
use crate::metrics::Fate;

/// The most rows that one transaction of a purge removes: a few milliseconds of the writer's time,
/// so that logins and revocations get their turn between two chunks.
const CHUNK: i64 = 500;

/// Which tokens to remove: those that died at these times or before.
#[derive(Clone, Copy, Debug)]
pub struct Purge {
    /// Tokens revoked by then.
    pub revoked_cutoff: Timestamp,
    /// Tokens whose own `expires_at` came by then.
    pub expired_cutoff: Timestamp,
    /// Tokens created by then; `None` if tokens don't die of age.
    pub created_cutoff: Option<Timestamp>,
}

impl Purge {
    /// Which tokens have been dead for `retain` or longer at `now`, where they live for `ttl`.
    pub fn of(retain: Duration, ttl: Lifetime, now: Timestamp) -> Self {
        let cutoff = now.minus(i64::try_from(retain.as_secs()).unwrap_or(i64::MAX));
        Self {
            revoked_cutoff: cutoff,
            expired_cutoff: cutoff,
            created_cutoff: ttl.age_cutoff(cutoff),
        }
    }
}

/// How many tokens a purge removed.
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

impl Store {
    /// Removes dead tokens chunk by chunk until none is left.
    ///
    /// # Errors
    /// [`StoreError`] of the first chunk that fails; those before it stay removed.
    pub async fn purge(&self, purge: Purge) -> Result<Purged, StoreError> {
        let mut purged = Purged {
            revoked: self.in_chunks(move |c| revoked(c, purge.revoked_cutoff)).await?,
            expired: self.in_chunks(move |c| expired(c, purge.expired_cutoff)).await?,
        };
        if let Some(created_cutoff) = purge.created_cutoff {
            purged.expired += self.in_chunks(move |c| aged(c, created_cutoff)).await?;
        }
        Ok(purged)
    }

    /// Counts the live tokens, for the metrics. Reads the whole table: for the sweeper alone.
    ///
    /// # Errors
    /// [`StoreError`], as from every question.
    pub async fn count_live(&self, ttl: Lifetime, now: Timestamp) -> Result<(), StoreError> {
        let age_cutoff = ttl.age_cutoff(now).map_or(i64::MIN, Timestamp::as_unix);
        let live: i64 = self
            .read(move |c| {
                tokens::table
                    .inner_join(users::table)
                    .filter(tokens::revoked_at.is_null())
                    .filter(tokens::expires_at.is_null().or(tokens::expires_at.gt(now.as_unix())))
                    .filter(tokens::created_at.gt(age_cutoff))
                    .filter(users::disabled_at.is_null())
                    .count()
                    .get_result(c)
            })
            .await?;
        self.0.metrics.live(live);
        Ok(())
    }

    async fn in_chunks(
        &self,
        delete: impl Fn(&mut SqliteConnection) -> QueryResult<Vec<Vec<u8>>> + Copy + Send + 'static,
    ) -> Result<usize, StoreError> {
        let mut total = 0;
        loop {
            let removed = self
                .write(move |tx| {
                    let digests = delete(tx.connection)?;
                    // Were the clock set back, a verdict could outlive its row.
                    Ok(forget(tx, &digests))
                })
                .await?;
            self.0.metrics.tokens(Fate::Purged, removed);
            total += removed;
            if removed < CHUNK as usize {
                return Ok(total);
            }
        }
    }
}

// A table can't stand in its own subquery under one name.
diesel::alias!(tokens as dead: Dead);

/// Removes a chunk of the tokens whose `$column` is not after `$cutoff`, and gives their digests.
macro_rules! delete_chunk {
    ($column:ident, $connection:expr, $cutoff:expr) => {{
        let chunk = dead.filter(dead.field(tokens::$column).le($cutoff.as_unix()));
        let ids = chunk.select(dead.field(tokens::id)).limit(CHUNK);
        diesel::delete(tokens::table.filter(tokens::id.eq_any(ids)))
            .returning(tokens::digest)
            .load($connection)
    }};
}

fn revoked(c: &mut SqliteConnection, cutoff: Timestamp) -> QueryResult<Vec<Vec<u8>>> {
    delete_chunk!(revoked_at, c, cutoff)
}

fn expired(c: &mut SqliteConnection, cutoff: Timestamp) -> QueryResult<Vec<Vec<u8>>> {
    delete_chunk!(expires_at, c, cutoff)
}

fn aged(c: &mut SqliteConnection, cutoff: Timestamp) -> QueryResult<Vec<Vec<u8>>> {
    delete_chunk!(created_at, c, cutoff)
}
