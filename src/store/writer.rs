//! The writer: the one connection that writes, and its group commit.
//!
//! SQLite lets one connection write at a time, and a durable commit costs a wait for the disk. So
//! the writes that arrive while one batch commits form the next batch: one transaction, a
//! savepoint for each job so that one that fails spoils no other, and no answer before `COMMIT`.
//! The idea is as old as IMS Fast Path: Gawlick and Kinkade, "Varieties of Concurrency Control in
//! IMS/VS Fast Path", 1985.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::BigInt;
use diesel::sqlite::Sqlite;
use tokio::sync::oneshot;

use super::connection::is_locked;
use super::{Observer, StoreError, closed};
use crate::domain::TokenHash;
use crate::metrics::Metrics;

/// Writes that may wait for the next batch; further ones are refused.
pub(super) const QUEUE: usize = 1024;
/// The most writes in one transaction.
const BATCH: usize = 256;
/// How long a batch waits for another process's transaction.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the writer rests before it asks whether another process wrote.
const POLL: Duration = Duration::from_millis(250);

pub(super) struct Writer {
    queue: Sender<Message>,
    /// Taken by whoever closes the writer.
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Job(Box<dyn Job>),
    Close,
}

/// What a write sees: the connection, and a list of the tokens that its commit changes.
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    changed: &'a mut Vec<TokenHash>,
}

impl Transaction<'_> {
    /// Has the observer told, after the commit, that what was read of these tokens no longer counts.
    pub(super) fn forget(&mut self, tokens: impl IntoIterator<Item = TokenHash>) {
        self.changed.extend(tokens);
    }
}

/// One write: it runs inside the batch's transaction and is settled after its end.
trait Job: Send {
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<(), ()>;
    /// Answers the caller: with what `run` gave, or with why the batch failed.
    fn settle(self: Box<Self>, failure: Option<&str>);
}

struct Write<F, T> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Write<F, T>
where
    F: FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<(), ()> {
        let work = self.work.take().ok_or(())?;
        // A panic must cost its own job alone: its result stays empty.
        self.result = catch_unwind(AssertUnwindSafe(|| work(transaction))).ok();
        match self.result {
            Some(Ok(_)) => Ok(()),
            _ => Err(()),
        }
    }

    fn settle(self: Box<Self>, failure: Option<&str>) {
        let result = match (failure, self.result) {
            (Some(cause), _) => Err(StoreError::Unavailable(cause.to_owned())),
            (None, Some(result)) => result,
            (None, None) => Err(StoreError::Failed("a write panicked".to_owned())),
        };
        // Whoever asked may have hung up.
        let _ = self.answer.send(result);
    }
}

impl Writer {
    pub(super) fn start(
        mut connection: SqliteConnection,
        observer: Arc<dyn Observer>,
        metrics: Metrics,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let (queue, messages) = bounded(QUEUE);
        // Before anything can be read and cached: no other process's write goes unnoticed.
        let data_version = data_version(&mut connection)?;
        let worker = Worker { connection, observer, metrics, data_version };
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || worker.serve(&messages))?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Runs `work` in the next batch; the answer comes after its commit, and after the observer was
    /// told. A caller who stops waiting stops nothing: the write goes on and keeps its place.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, result) = oneshot::channel();
        let job = Box::new(Write { work: Some(work), result: None, answer });
        self.queue.try_send(Message::Job(job)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => closed(),
        })?;
        result.await.map_err(|_| closed())?
    }

    /// How many writes wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Commits what is queued, merges the write-ahead log and closes the connection.
    pub(super) fn close(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = self.queue.send(Message::Close);
            let _ = thread.join();
        }
    }
}

struct Worker {
    connection: SqliteConnection,
    observer: Arc<dyn Observer>,
    metrics: Metrics,
    /// What `PRAGMA data_version` said last: it changes when another connection commits.
    data_version: i64,
}

impl Worker {
    fn serve(mut self, messages: &Receiver<Message>) {
        let mut closing = false;
        while !closing {
            let mut batch = Vec::new();
            let mut patience = POLL;
            while batch.len() < BATCH {
                match messages.recv_timeout(patience) {
                    Ok(Message::Job(job)) => batch.push(job),
                    Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => {
                        closing = true;
                        break;
                    }
                    Err(RecvTimeoutError::Timeout) => break,
                }
                // Whoever is waiting already comes along; nobody is waited for.
                patience = Duration::ZERO;
            }
            match batch.is_empty() {
                true => self.heed_other_writers(),
                false => self.commit(batch),
            }
        }
        // From now on nobody heeds other processes.
        self.observer.anything_changed();
        // The last connection to a file merges the log as it closes; another process may have one.
        if let Err(error) = self.connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE);") {
            log::warn!("the write-ahead log stays as it is until the next start: {error}");
        }
    }

    /// Runs the jobs as one transaction, tells the observer, and answers.
    fn commit(&mut self, mut batch: Vec<Box<dyn Job>>) {
        let mut changed = Vec::new();
        let failure = match self.transact(&mut batch, &mut changed) {
            Ok(()) => {
                self.metrics.batches.observe(batch.len() as f64);
                if !changed.is_empty() {
                    self.observer.changed(&changed);
                }
                None
            }
            Err(error) => {
                log::error!("{} writes were lost: {error}", batch.len());
                // Fails where SQLite has rolled back by itself already.
                let _ = self.connection.batch_execute("ROLLBACK");
                // A commit that failed half-way may yet stand.
                self.observer.anything_changed();
                Some(error.to_string())
            }
        };
        for job in batch {
            job.settle(failure.as_deref());
        }
    }

    fn transact(
        &mut self,
        batch: &mut [Box<dyn Job>],
        changed: &mut Vec<TokenHash>,
    ) -> QueryResult<()> {
        self.begin()?;
        for job in batch {
            Savepoint.execute(&mut self.connection)?;
            let known = changed.len();
            let connection = &mut self.connection;
            if job.run(&mut Transaction { connection, changed }).is_err() {
                changed.truncate(known);
                // On a full or failing disk SQLite may roll the whole transaction back. Then there
                // is no savepoint left to go back to, and this error ends the batch.
                RollbackTo.execute(&mut self.connection)?;
            }
            Release.execute(&mut self.connection)?;
        }
        Commit.execute(&mut self.connection).map(drop)
    }

    /// Begins a transaction as soon as no other process has one. Until then, what that one commits is
    /// heeded all the same.
    fn begin(&mut self) -> QueryResult<()> {
        let start = Instant::now();
        loop {
            let result = Begin.execute(&mut self.connection).map(drop);
            self.heed_other_writers();
            match result {
                Err(error) if is_locked(&error.to_string()) && start.elapsed() < PATIENCE => {}
                result => return result,
            }
        }
    }

    /// Has the observer told if another connection has committed since the last time.
    fn heed_other_writers(&mut self) {
        match data_version(&mut self.connection) {
            Ok(now) if now == self.data_version => {}
            Ok(now) => {
                self.data_version = now;
                self.observer.anything_changed();
            }
            Err(error) => {
                log::error!("can't tell whether another process wrote: {error}");
                self.observer.anything_changed();
            }
        }
    }
}

/// Statements without a parameter, prepared once: parsing two of them for each job took a tenth of
/// the writer's time.
macro_rules! statements {
    ($($name:ident: $sql:literal),+ $(,)?) => {$(
        #[derive(QueryId)]
        struct $name;

        impl QueryFragment<Sqlite> for $name {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
                out.push_sql($sql);
                Ok(())
            }
        }

        impl RunQueryDsl<SqliteConnection> for $name {}
    )+};
}

statements! {
    Begin: "BEGIN IMMEDIATE",
    Savepoint: "SAVEPOINT job",
    RollbackTo: "ROLLBACK TO job",
    Release: "RELEASE job",
    Commit: "COMMIT",
}

fn data_version(connection: &mut SqliteConnection) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        data_version: i64,
    }
    diesel::sql_query("PRAGMA data_version")
        .get_result::<Row>(connection)
        .map(|row| row.data_version)
}
