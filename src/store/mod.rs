//! The SQLite file, and the only module that knows Diesel.
//!
//! `sqlite` opens the file, and runs reads and writes on its threads. `changes` is the log of what caches
//! must forget, and `invalidation` tells the caches.
//!
//! The queries: `users`, with who may have which email in `emails`, and `password_costs`; `tokens`, with
//! `token_lists`, `revocation` and `purge`; `quota` counts a user's. `rows` turns rows into the domain's
//! types.
//! A row that a unique key names is asked for by `get_result`, not `first`: SQLite plans a query anew
//! each time its `LIMIT` is bound.

mod acting;
mod changes;
mod emails;
mod invalidation;
mod password_costs;
mod purge;
mod quota;
mod revocation;
mod rows;
mod schema;
mod sqlite;
mod token_lists;
mod tokens;
mod users;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use tokio::sync::oneshot;

use crate::metrics::{Metrics, Queue};

pub use acting::ActingToken;
pub use invalidation::{CacheInvalidation, Stamp};
pub use purge::{Purge, Purged};
pub use quota::Quota;
pub use rows::UserWithHash;
pub use sqlite::backup::BackupError;
pub use sqlite::connection::OpenError;
pub use tokens::{Insertion, NewToken, Stored};
pub use users::{UserChange, UserChanged, UserRecord};

use sqlite::connection;
use sqlite::readers::Readers;
use sqlite::writer::Writer;

/// The most rows of one read where a whole table is listed, so that no more are in memory at a time.
const STEP: i64 = 1000;

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
    path: PathBuf,
    readers: Readers,
    writer: Writer,
    invalidation: Arc<CacheInvalidation>,
    metrics: Metrics,
}

/// Why the store gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue is full. Nothing was done; worth another try in a second.
    #[error("the store's queue is full")]
    Busy,
    /// SQLite can't answer: a full or failing disk, a file locked for too long, a store that has
    /// been closed. Nothing was done, unless the message says otherwise.
    #[error("the store can't answer: {0}")]
    Unavailable(String),
    /// Something unique is taken already: an email.
    #[error("already taken")]
    Taken,
    /// The email was another user's last, and is reserved for that one.
    #[error("reserved for its last owner")]
    Reserved,
    /// The user has used up the emails that they may choose.
    #[error("too many emails")]
    TooManyEmails,
    /// The token that a write was asked for with is not live any more. Nothing was written.
    #[error("the acting token is not live")]
    Dead,
    /// That token, or its owner, lacks what it needs: these abilities, as a scope. Nothing was written.
    #[error("the acting token lacks {0}")]
    Lacking(String),
    /// A fault of the program's own.
    #[error("the store failed: {0}")]
    Failed(String),
}

fn closed() -> StoreError {
    StoreError::Unavailable("it is closed, or dropped the question".to_owned())
}

impl Store {
    /// Opens the SQLite file at `path`, creates it (for its owner's eyes alone) where there is
    /// none, and brings its schema up to date.
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
        let writer =
            Writer::start(connection, invalidation.clone(), metrics.clone()).map_err(failed)?;
        let readers = Readers::start(path).map_err(failed)?;
        let path = path.to_owned();
        Ok(Self(Arc::new(Shared { path, readers, writer, invalidation, metrics })))
    }

    /// Which of what was read here is out of date.
    pub fn invalidation(&self) -> Arc<CacheInvalidation> {
        self.0.invalidation.clone()
    }

    /// Whether the store can answer.
    ///
    /// # Errors
    /// [`StoreError`] if it can't within a second.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let answers = async {
            self.read(|connection| {
                schema::users::table
                    .find(0)
                    .select(schema::users::id)
                    .get_result::<i64>(connection)
                    .optional()
            })
            .await?;
            // Nothing to write, but the writer must be there and get the lock.
            self.write(|_| Ok(())).await
        };
        match tokio::time::timeout(Duration::from_secs(1), answers).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::Unavailable("no answer within a second".to_owned())),
        }
    }

    /// Answers what is queued, then closes the file, its write-ahead log merged into it.
    /// What is asked afterwards is refused as [`StoreError::Unavailable`].
    ///
    /// The waiting is done on a thread of its own: a caller who gives up leaves it behind.
    pub async fn close(&self) {
        let store = self.clone();
        let (done, closed) = oneshot::channel();
        std::thread::spawn(move || {
            store.0.readers.close();
            store.0.writer.close();
            let _ = done.send(());
        });
        let _ = closed.await;
    }

    /// Notes how many wait for the readers and for the writer.
    pub fn note_queues(&self) {
        self.0.metrics.waiting(Queue::Reads, self.0.readers.waiting());
        self.0.metrics.waiting(Queue::Writes, self.0.writer.waiting());
    }

    fn note_refusal<T>(&self, queue: Queue, result: &Result<T, StoreError>) {
        if let Err(StoreError::Busy) = result {
            self.0.metrics.refused(queue);
        }
    }

    /// Runs a query of a row or two, which may share a transaction with others like it.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.0.readers.run(query).await;
        self.note_refusal(Queue::Reads, &result);
        result
    }

    /// Runs a query of many rows. It delays no [`Store::read`].
    async fn read_list<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.0.readers.run_long(query).await;
        self.note_refusal(Queue::Reads, &result);
        result
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.0.writer.run(job).await;
        self.note_refusal(Queue::Writes, &result);
        result
    }

    /// A write that a token asks for: it begins with the token's check. Without one, it is the word of
    /// whoever runs the server.
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
