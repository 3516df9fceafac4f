//! The SQLite file, and the only module that knows Diesel.
//!
//! `sqlite` opens the file, and runs reads and writes on its threads.
//!
//! The queries: `users`, with who may have which email in `emails`, and `password_costs`; `tokens`, with what
//! adds them in `insertion`, what revokes them in `revocation` and what removes them in `purge`; `quota`
//! counts a user's.
//! A token is found by the first bytes of its digest, in the table `token_heads`: a trigger fills it, and
//! whoever removes a token clears it.
//! A row that a unique key names is asked for by `get_result`, not `first`: SQLite plans a query anew
//! each time its `LIMIT` is bound.

mod acting;
mod emails;
mod insertion;
mod password_costs;
mod purge;
mod quota;
mod revocation;
mod schema;
mod sqlite;
mod tokens;
mod users;

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use tokio::sync::oneshot;

use crate::domain::TokenHash;
use crate::metrics::{Metrics, Queue};

pub use acting::ActingToken;
pub use insertion::{Insertion, NewToken, Stored};
pub use purge::{Purge, Purged};
pub use quota::Quota;
pub use sqlite::backup::BackupError;
pub use sqlite::connection::OpenError;
pub use tokens::Page;
pub use users::{UserChange, UserChanged, UserRecord, UserWithHash};

use sqlite::connection;
use sqlite::readers::Readers;
use sqlite::writer::{self, Writer};

/// Told after each commit, and before any answer to it leaves, which tokens may no longer pass a
/// check on what was read before.
pub trait Observer: Send + Sync + 'static {
    /// What became of tokens, in order.
    fn changed(&self, changes: &[Change]);
    /// Anything may have changed: another process wrote to the file, or it isn't known whether a
    /// commit took place.
    fn anything_changed(&self);
}

/// What became of a token.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// It was revoked, which is for ever.
    Revoked(TokenHash),
    /// It was removed, after its end.
    Purged(TokenHash),
    /// Anything else: its owner was removed, or one of the two was changed.
    Other(TokenHash),
}

/// The open database. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    path: PathBuf,
    readers: Readers,
    writer: Writer,
    metrics: Metrics,
}

/// Why the store gave no answer.
#[derive(Debug, thiserror::Error)]
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

impl From<diesel::result::Error> for StoreError {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind, Error};
        match error {
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Self::Taken,
            Error::DatabaseError(
                DatabaseErrorKind::NotNullViolation
                | DatabaseErrorKind::CheckViolation
                | DatabaseErrorKind::ForeignKeyViolation,
                _,
            ) => Self::Failed(error.to_string()),
            Error::DatabaseError(..) | Error::BrokenTransactionManager => {
                Self::Unavailable(error.to_string())
            }
            other => Self::Failed(other.to_string()),
        }
    }
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
    pub fn open(
        path: &Path,
        observer: Arc<dyn Observer>,
        metrics: Metrics,
    ) -> Result<Self, OpenError> {
        let connection = connection::open_writer(path)?;
        let failed = |cause: Box<dyn std::error::Error>| OpenError::Open {
            path: path.to_owned(),
            cause: cause.to_string(),
        };
        let writer = Writer::start(connection, observer, metrics.clone()).map_err(failed)?;
        let readers = Readers::start(path).map_err(failed)?;
        let path = path.to_owned();
        Ok(Self(Arc::new(Shared { path, readers, writer, metrics })))
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

    /// Answers what is queued, then closes the file, its write-ahead log merged into it. A purge ends
    /// after its present chunk. What is asked afterwards is refused as [`StoreError::Unavailable`].
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

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.0.readers.run(query).await;
        self.note_refusal(Queue::Reads, &result);
        result
    }

    /// A read of a row or two, which may share a transaction with others like it.
    async fn read_briefly<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.0.readers.run_briefly(query).await;
        self.note_refusal(Queue::Reads, &result);
        result
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut writer::Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.0.writer.run(job).await;
        self.note_refusal(Queue::Writes, &result);
        result
    }

    /// A long write, chunk by chunk, until `work` breaks off; each chunk commits by itself, and those
    /// before one that fails stay done.
    async fn write_in_chunks<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut writer::Transaction<'_>) -> Result<ControlFlow<T>, StoreError>
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        let result = self.0.writer.run_in_chunks(work).await;
        self.note_refusal(Queue::Writes, &result);
        result
    }

    /// A write that a token asks for: it begins with the token's check. Without one, it is the word of
    /// whoever runs the server.
    async fn write_by<T: Send + 'static>(
        &self,
        by: Option<ActingToken>,
        job: impl FnOnce(&mut writer::Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write(move |tx| {
            if let Some(acting) = by {
                acting.check(tx)?;
            }
            job(tx)
        })
        .await
    }
}
