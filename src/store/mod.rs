//! The SQLite file, and the only module that knows Diesel.
//!
//! `sqlite` opens the file, and runs reads and writes on its threads. `change_log` is
//! the log of changes, and `cache_invalidation` tells which cached sessions they make out of date.
//!
//! Queries of users are in `users`, `emails` and `password_costs`, those of tokens in `tokens`,
//! `token_lists`, `revocation`, `purge` and `quota`. `rows` turns rows into the domain's types.
//!
//! A row with a unique key is read by `get_result`, not `first`: SQLite plans a query anew each time its
//! `LIMIT` is bound.

mod acting_token;
mod cache_invalidation;
mod change_log;
mod emails;
mod password_costs;
mod purge;
mod quota;
mod readiness;
mod revocation;
mod rows;
mod schema;
mod sqlite;
mod token_lists;
mod tokens;
mod users;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, atomic};
use std::time::Duration;

use diesel::prelude::*;
use tokio::sync::oneshot;

use crate::metrics::{Metrics, Queue};

pub use acting_token::ActingToken;
pub use cache_invalidation::{CacheInvalidation, Stamp};
use change_log::ChangeLog;
pub use purge::{Purge, Purged};
pub use quota::Quota;
pub use rows::UserWithHash;
pub use sqlite::backup::BackupError;
pub use sqlite::connection::OpenError;
pub use tokens::{Insertion, NewToken, Stored};
pub use users::{UserChange, UserChanged, UserRecord};

use readiness::LastProbe;
use sqlite::checkpoints::LastFailure;
use sqlite::connection;
use sqlite::open_files::OpenFiles;
use sqlite::poller::Poller;
use sqlite::readers::Readers;
use sqlite::writer::Writer;

/// The most rows of one read where a whole table is listed, so that no more are in memory at a time.
const STEP: i64 = 1000;

/// How long a short read waits for its answer, so that a disk that hangs leaves no client without one.
const PATIENCE: Duration = Duration::from_secs(5);

/// A part of a longer list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The part's rows.
    pub rows: Vec<T>,
    /// How many rows the whole list has.
    pub total: i64,
}

/// The open database. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    files: Arc<OpenFiles>,
    readers: Readers,
    writer: Writer,
    poller: Poller,
    invalidation: Arc<CacheInvalidation>,
    log: Arc<ChangeLog>,
    checkpoint_failure: LastFailure,
    last_probe: LastProbe,
    metrics: Metrics,
}

/// Why a read or a write failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue is full. Nothing was done. Try again in a second.
    #[error("the store's queue is full")]
    Busy,
    /// SQLite can't answer: for example, the disk is full or fails, the file is locked for too long, or the
    /// store is closed. Nothing was done, except in rare cases where a commit failed half-way.
    #[error("the store can't answer: {0}")]
    Unavailable(String),
    /// Another row has the same unique value: an email.
    #[error("already taken")]
    Taken,
    /// The email is reserved for its last owner.
    #[error("reserved for its last owner")]
    Reserved,
    /// Too many emails are reserved for the user.
    #[error("too many emails")]
    TooManyEmails,
    /// The token that requests the write is not live. Nothing was written.
    #[error("the acting token is not live")]
    Dead,
    /// The token that requests the write, or its owner, lacks these abilities, as a scope. Nothing was written.
    #[error("the acting token lacks {0}")]
    Lacking(String),
    /// A fault of the program.
    #[error("the store failed: {0}")]
    Failed(String),
}

fn closed() -> StoreError {
    StoreError::Unavailable("it is closed, or dropped the question".to_owned())
}

/// The answer of `work`, or an error if there is none in time. What `work` began goes on.
async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let late = |_| StoreError::Unavailable(format!("no answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, work).await.map_err(late)?
}

impl Store {
    /// Opens the SQLite file at `path` and migrates it. A new file can only be read by its owner.
    ///
    /// # Errors
    /// [`OpenError`], in one line that a person can act on.
    pub fn open(path: &Path, metrics: Metrics) -> Result<Self, OpenError> {
        let connection = connection::open_writer(path)?;
        let failed = |cause: Box<dyn std::error::Error>| OpenError::Open {
            path: path.to_owned(),
            cause: cause.to_string(),
        };
        let invalidation = Arc::new(CacheInvalidation::default());
        let log = Arc::new(ChangeLog::new(invalidation.clone()));
        let files = OpenFiles::new(path, log.clone()).map_err(|error| failed(error.into()))?;
        let files = Arc::new(files);
        let checkpoint_failure = LastFailure::default();
        let writer = Writer::start(
            connection,
            files.clone(),
            log.clone(),
            checkpoint_failure.clone(),
            metrics.clone(),
        );
        let writer = writer.map_err(failed)?;
        let readers = Readers::start(&files, &log).map_err(failed)?;
        let poller = Poller::start(files.clone(), log.clone(), metrics.clone()).map_err(failed)?;
        Ok(Self(Arc::new(Shared {
            files,
            readers,
            writer,
            poller,
            invalidation,
            log,
            checkpoint_failure,
            last_probe: LastProbe::default(),
            metrics,
        })))
    }

    /// Tells which of the sessions that were read from this store are out of date.
    pub fn invalidation(&self) -> Arc<CacheInvalidation> {
        self.0.invalidation.clone()
    }

    /// Stops the news of changes until the result is dropped, as a disk that hangs does.
    #[cfg(test)]
    pub(crate) fn hold_news(&self) -> impl Drop + '_ {
        self.0.log.hold()
    }

    /// Finishes what is queued, then closes the file. Later reads and writes fail with
    /// [`StoreError::Unavailable`].
    ///
    /// It waits on a thread of its own, so that it goes on if the caller stops waiting.
    pub async fn close(&self) {
        let store = self.clone();
        let (done, closed) = oneshot::channel();
        std::thread::spawn(move || {
            store.0.readers.close();
            store.0.poller.close();
            store.0.writer.close();
            let _ = done.send(());
        });
        let _ = closed.await;
    }

    /// Sets the metrics of how many jobs wait for the readers and the writer.
    pub fn note_queues(&self) {
        self.0.metrics.set_queue_length(Queue::Reads, self.0.readers.waiting());
        self.0.metrics.set_queue_length(Queue::Writes, self.0.writer.waiting());
    }

    fn note_refusal<T>(&self, queue: Queue, result: &Result<T, StoreError>) {
        if let Err(StoreError::Busy) = result {
            self.0.metrics.count_rejection(queue);
        }
    }

    /// Refuses if nothing may be answered from the files, now or any more.
    fn usable(&self) -> Result<(), StoreError> {
        if self.0.log.has_ended() {
            return Err(closed());
        }
        if self.0.files.is_lost() {
            let cause = "the database's files are not those that were opened";
            return Err(StoreError::Unavailable(cause.to_owned()));
        }
        Ok(())
    }

    /// Runs a query of a row or two, which may share a transaction with others like it.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.usable()?;
        let result = within(PATIENCE, self.0.readers.run(query)).await;
        self.note_refusal(Queue::Reads, &result);
        result
    }

    /// Runs a query of many rows. It delays no [`Store::read`].
    async fn read_list<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.usable()?;
        let result = self.0.readers.run_long(query).await;
        self.note_refusal(Queue::Reads, &result);
        result
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.usable()?;
        let result = self.0.writer.run(job).await;
        self.note_refusal(Queue::Writes, &result);
        result
    }

    /// Runs a write that a token requests. It begins with the token's check. `None` is the operator.
    async fn write_by<T: Send + 'static>(
        &self,
        by: Option<ActingToken>,
        job: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write(move |c| {
            if let Some(acting) = by {
                acting.check(c)?;
            }
            job(c)
        })
        .await
    }
}
