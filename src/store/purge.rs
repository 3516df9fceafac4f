//! What the sweeper removes: a batch of dead tokens at a time, in chunks that each commit by
//! themselves. Of a batch the heads of the digests go first, in their own order, then the rows in theirs, so
//! that a chunk rewrites few pages. A row whose head is gone is found by nobody; left behind by a crash, it
//! is dead all the same, and the next purge takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use std::{iter, mem};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};

use super::schema::{token_heads, tokens};
use super::tokens::head;
use super::{Change, Store, StoreError};
use crate::domain::{Lifetime, Timestamp, TokenHash};
use crate::metrics::TokenEvent;

/// The most rows that one transaction of a purge touches: two or three milliseconds of the writer's time,
/// so that token checks on the same core, logins and revocations get their turn.
const CHUNK: usize = 500;
/// The most rows of a batch, 70 bytes each in memory. The more there are, the more heads go with each page
/// that is rewritten: ten, out of 2,000,000.
const BATCH: usize = 100_000;
/// The most rows of one read: half a millisecond of a reader's time.
const STEP: i64 = 500;

/// Which tokens to remove: those that were dead at a time.
#[derive(Clone, Copy, Debug)]
pub struct Purge {
    /// The time by which they were dead.
    cutoff: Timestamp,
    /// How old tokens may grow.
    ttl: Lifetime,
}

impl Purge {
    /// The tokens that have been dead for `retain` or longer at `now`, where they live for `ttl`.
    pub fn of(retain: Duration, ttl: Lifetime, now: Timestamp) -> Self {
        let retain = i64::try_from(retain.as_secs()).unwrap_or(i64::MAX);
        Self { cutoff: now.minus(retain), ttl }
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
    /// Removes dead tokens until none is left.
    ///
    /// # Errors
    /// [`StoreError`] of the first chunk that fails; those before it stay removed.
    pub async fn purge(&self, purge: Purge) -> Result<Purged, StoreError> {
        let cutoff = purge.cutoff;
        let mut purged = Purged {
            revoked: self.purge_by(Dead::by("revoked_at", cutoff)).await?,
            expired: self.purge_by(Dead::by("expires_at", cutoff)).await?,
        };
        if let Some(created_by) = purge.ttl.age_cutoff(cutoff) {
            // Bound tokens before their parents.
            for age in ["ages_from", "created_at"] {
                purged.expired += self.purge_by(Dead::by(age, created_by)).await?;
            }
        }
        Ok(purged)
    }

    async fn purge_by(&self, mut dead: Dead) -> Result<usize, StoreError> {
        let mut total = 0;
        loop {
            let batch = dead.next(self).await?;
            if batch.ids.is_empty() {
                return Ok(total);
            }
            total += self.remove(batch).await?;
        }
    }

    /// Removes a batch; gives the number of rows that were there.
    async fn remove(&self, batch: Batch) -> Result<usize, StoreError> {
        self.remove_heads(batch.digests).await?;
        self.remove_rows(batch.ids).await
    }

    async fn remove_heads(&self, mut digests: BTreeMap<[u8; 32], i64>) -> Result<(), StoreError> {
        self.write_in_chunks(move |tx| {
            let chunk = take_chunk(|| digests.pop_first());
            // Were the clock set back, a verdict could outlive its row.
            let hashes = chunk.iter().filter_map(|(digest, _)| TokenHash::from_stored(digest));
            tx.tell(hashes.map(Change::Purged));
            diesel::delete(token_heads::table)
                .filter(token_heads::head.eq_any(chunk.iter().map(|(digest, _)| head(digest))))
                // A row that a crash left without its head may have been inserted anew since.
                .filter(token_heads::token_id.eq_any(chunk.iter().map(|(_, id)| id)))
                .execute(tx.connection)?;
            Ok(if digests.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .await
    }

    async fn remove_rows(&self, mut ids: BTreeSet<i64>) -> Result<usize, StoreError> {
        let metrics = self.0.metrics.clone();
        let (mut total, mut uncounted) = (0, 0);
        let removed = self.write_in_chunks(move |tx| {
            // One chunk late: only now has it been committed.
            metrics.tokens(TokenEvent::Purged, mem::take(&mut uncounted));
            let chunk = tokens::id.eq_any(take_chunk(|| ids.pop_first()));
            uncounted = diesel::delete(tokens::table.filter(chunk)).execute(tx.connection)?;
            total += uncounted;
            Ok(match ids.is_empty() {
                true => ControlFlow::Break((total, uncounted)),
                false => ControlFlow::Continue(()),
            })
        });
        let (total, uncounted) = removed.await?;
        self.0.metrics.tokens(TokenEvent::Purged, uncounted);
        Ok(total)
    }
}

fn take_chunk<T>(next: impl FnMut() -> Option<T>) -> Vec<T> {
    iter::from_fn(next).take(CHUNK).collect()
}

/// Dead tokens, one batch after the other, in the order in which they died.
struct Dead {
    question: String,
    cutoff: Timestamp,
    /// When the last one died that was found, and its row's number.
    last: (i64, i64),
}

/// What is removed of dead tokens. Sorted as it comes: one sort at the end would hold up a core.
#[derive(Default)]
struct Batch {
    digests: BTreeMap<[u8; 32], i64>,
    ids: BTreeSet<i64>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    died_at: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Binary)]
    digest: Vec<u8>,
}

impl Dead {
    /// Those whose `column` is not after `cutoff`.
    fn by(column: &str, cutoff: Timestamp) -> Self {
        let question = format!(
            "SELECT {column} AS died_at, id, digest FROM tokens \
             WHERE ({column}, id) > (?, ?) AND {column} <= ? ORDER BY {column}, id LIMIT ?"
        );
        Self { question, cutoff, last: (i64::MIN, i64::MIN) }
    }

    /// The next batch; an empty one after the last.
    async fn next(&mut self, store: &Store) -> Result<Batch, StoreError> {
        let mut batch = Batch::default();
        while batch.ids.len() < BATCH {
            let question = diesel::sql_query(&self.question)
                .bind::<BigInt, _>(self.last.0)
                .bind::<BigInt, _>(self.last.1)
                .bind::<BigInt, _>(self.cutoff.as_unix())
                .bind::<BigInt, _>(STEP);
            let start = Instant::now();
            let rows = match store.read(move |c| question.load::<Row>(c)).await {
                // What it has is removed first; the rest is asked for again.
                Err(StoreError::Busy) if !batch.ids.is_empty() => break,
                rows => rows?,
            };
            let Some(last) = rows.last() else { break };
            self.last = (last.died_at, last.id);
            for row in rows {
                batch.ids.insert(row.id);
                // Bytes of another length are no digest: nothing finds them, and the row goes all the same.
                batch
                    .digests
                    .extend(<[u8; 32]>::try_from(row.digest).map(|digest| (digest, row.id)));
            }
            // As long as the read took: half the time is for whoever shares the core.
            tokio::time::sleep(start.elapsed()).await;
        }
        Ok(batch)
    }
}
