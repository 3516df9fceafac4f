//! The writer: the one connection that writes, and its group commit.
//!
//! SQLite lets one connection write at a time, and a durable commit costs a wait for the disk. So
//! the writes that arrive while one batch commits form the next batch: one transaction, a
//! savepoint for each job so that one that fails spoils no other, and no answer before `COMMIT`.
//! The idea is as old as IMS Fast Path: Gawlick and Kinkade, "Varieties of Concurrency Control in
//! IMS/VS Fast Path", 1985.
//!
//! A long write, the sweeper's, goes on in one batch after the other, a chunk in each. Between them the
//! writer rests: it may share a core with the checks of tokens, and the scheduler's turns are long.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use tokio::sync::oneshot;

use super::connection::is_locked;
use super::statements::statements;
use crate::metrics::Metrics;
use crate::store::{Change, Observer, StoreError, closed};

/// Writes that may wait for the next batch; further ones are refused.
pub(in crate::store) const QUEUE: usize = 1024;
/// The most messages taken into one transaction, beside the chunks of long writes.
const BATCH: usize = 256;
/// How long a batch waits for another process's transaction.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the writer rests before it asks whether another process wrote.
const POLL: Duration = Duration::from_millis(250);

/// Pages after which the write-ahead log is merged into the file: 32 MB, so that a page that many
/// commits change is copied once.
const MERGE_AFTER: u32 = 8000;
/// The same during a long write. It seldom changes a page twice, so that waiting saves nothing, and to
/// merge so few holds others up for two milliseconds.
const MERGE_AFTER_IN_LONG_WRITE: u32 = 500;
/// The longest rest between two chunks of a long write.
const REST: Duration = Duration::from_millis(5);

pub(in crate::store) struct Writer {
    jobs: Sender<Message>,
    /// Taken by whoever closes the writer.
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Job(Box<dyn Job>),
    Close,
}

/// What a write sees: the connection, and a list of what its commit changes.
pub(in crate::store) struct Transaction<'a> {
    pub(in crate::store) connection: &'a mut SqliteConnection,
    changes: &'a mut Vec<Change>,
}

impl Transaction<'_> {
    /// Has the observer told, after the commit, that what was read of tokens no longer counts.
    pub(in crate::store) fn tell(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.changes.extend(changes);
    }
}

/// One write, or one chunk of a longer one: it runs inside the batch's transaction and is settled after
/// its end.
trait Job: Send {
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<(), ()>;
    /// Answers the caller: with what `run` gave, or with why the batch failed. Gives itself back if it
    /// goes on in the next batch.
    fn settle(self: Box<Self>, failure: Option<&str>) -> Option<Box<dyn Job>>;
}

struct Write<F, T> {
    work: F,
    result: Option<Result<ControlFlow<T>, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Write<F, T>
where
    F: FnMut(&mut Transaction<'_>) -> Result<ControlFlow<T>, StoreError> + Send + 'static,
    T: Send + 'static,
{
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<(), ()> {
        // A panic must cost its own job alone: its result stays empty.
        self.result = catch_unwind(AssertUnwindSafe(|| (self.work)(transaction))).ok();
        match self.result {
            Some(Ok(_)) => Ok(()),
            _ => Err(()),
        }
    }

    fn settle(mut self: Box<Self>, failure: Option<&str>) -> Option<Box<dyn Job>> {
        let result = match (failure, self.result.take()) {
            (Some(cause), _) => Err(StoreError::Unavailable(cause.to_owned())),
            (None, Some(Ok(ControlFlow::Continue(())))) => {
                return (!self.answer.is_closed()).then_some(self as Box<dyn Job>);
            }
            (None, Some(Ok(ControlFlow::Break(value)))) => Ok(value),
            (None, Some(Err(error))) => Err(error),
            (None, None) => Err(StoreError::Failed("a write panicked".to_owned())),
        };
        // Whoever asked may have hung up.
        let _ = self.answer.send(result);
        None
    }
}

impl Writer {
    pub(in crate::store) fn start(
        mut connection: SqliteConnection,
        observer: Arc<dyn Observer>,
        metrics: Metrics,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let (jobs, messages) = bounded(QUEUE);
        // Before anything can be read and cached: no other process's write goes unnoticed.
        let data_version = data_version(&mut connection)?;
        let worker = Worker { connection, observer, metrics, data_version, merged_after: 0 };
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || worker.serve(&messages))?;
        Ok(Self { jobs, thread: Mutex::new(Some(thread)) })
    }

    /// Runs `work` in the next batch; the answer comes after its commit, and after the observer was
    /// told. A caller who stops waiting stops nothing: the write goes on and keeps its place.
    pub(in crate::store) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut work = Some(work);
        self.run_in_chunks(move |transaction| match work.take() {
            Some(work) => work(transaction).map(ControlFlow::Break),
            None => Err(StoreError::Failed("a write ran twice".to_owned())),
        })
        .await
    }

    /// Runs `work` in one batch after the other until it breaks off, each time for a chunk that commits
    /// by itself; so whoever else writes waits for a chunk at most. If the caller stops waiting, it
    /// ends between two chunks.
    pub(in crate::store) async fn run_in_chunks<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Transaction<'_>) -> Result<ControlFlow<T>, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, result) = oneshot::channel();
        let job = Box::new(Write { work, result: None, answer });
        self.jobs.try_send(Message::Job(job)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => closed(),
        })?;
        result.await.map_err(|_| closed())?
    }

    /// How many writes wait.
    pub(in crate::store) fn waiting(&self) -> usize {
        self.jobs.len()
    }

    /// Commits what is queued, merges the write-ahead log and closes the connection. A long write ends
    /// after its present chunk, and its caller is told that the store is closed.
    pub(in crate::store) fn close(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = self.jobs.send(Message::Close);
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
    /// The pages after which the write-ahead log is merged into the file.
    merged_after: u32,
}

impl Worker {
    fn serve(mut self, messages: &Receiver<Message>) {
        let mut closing = false;
        let mut unfinished = Vec::new();
        while !closing {
            let mut batch = unfinished;
            closing = gather(messages, &mut batch);
            let start = Instant::now();
            unfinished = match batch.is_empty() {
                true => {
                    self.heed_other_writers();
                    batch
                }
                false => self.commit(batch),
            };
            self.merge_log_after(match unfinished.is_empty() {
                true => MERGE_AFTER,
                false => MERGE_AFTER_IN_LONG_WRITE,
            });
            if !unfinished.is_empty() && messages.is_empty() {
                // As long as the chunk took: half the time is for whoever shares the core.
                std::thread::sleep(start.elapsed().min(REST));
            }
        }
        // From now on nobody heeds other processes.
        self.observer.anything_changed();
        // The last connection to a file merges the log as it closes; another process may have one.
        if let Err(error) = self.connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE);") {
            log::warn!("the write-ahead log stays as it is until the next start: {error}");
        }
    }

    /// Has the write-ahead log merged into the file after this many pages.
    fn merge_log_after(&mut self, pages: u32) {
        if pages != self.merged_after {
            self.merged_after = pages;
            let pragma = format!("PRAGMA wal_autocheckpoint = {pages}");
            if let Err(error) = self.connection.batch_execute(&pragma) {
                log::warn!("the write-ahead log is merged as often as before: {error}");
            }
        }
    }

    /// Runs the jobs as one transaction, tells the observer, and answers. Gives back those that go on.
    fn commit(&mut self, mut batch: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        let mut changes = Vec::new();
        let failure = match self.transact(&mut batch, &mut changes) {
            Ok(()) => {
                self.metrics.batches.observe(batch.len() as f64);
                if !changes.is_empty() {
                    self.observer.changed(&changes);
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
        batch.into_iter().filter_map(|job| job.settle(failure.as_deref())).collect()
    }

    fn transact(
        &mut self,
        batch: &mut [Box<dyn Job>],
        changes: &mut Vec<Change>,
    ) -> QueryResult<()> {
        self.begin()?;
        for job in batch {
            Savepoint {}.execute(&mut self.connection)?;
            let known = changes.len();
            let connection = &mut self.connection;
            if job.run(&mut Transaction { connection, changes }).is_err() {
                changes.truncate(known);
                // On a full or failing disk SQLite may roll the whole transaction back. Then there
                // is no savepoint left to go back to, and this error ends the batch.
                RollbackTo {}.execute(&mut self.connection)?;
            }
            Release {}.execute(&mut self.connection)?;
        }
        Commit {}.execute(&mut self.connection).map(drop)
    }

    /// Begins a transaction as soon as no other process has one. Until then, what that one commits is
    /// heeded all the same.
    fn begin(&mut self) -> QueryResult<()> {
        let start = Instant::now();
        loop {
            let result = Begin {}.execute(&mut self.connection).map(drop);
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

/// Adds to a batch what waits already; if the batch is empty, waits for a first message for a while.
/// Tells whether there will be no more.
fn gather(messages: &Receiver<Message>, batch: &mut Vec<Box<dyn Job>>) -> bool {
    let first = match batch.is_empty() {
        true => match messages.recv_timeout(POLL) {
            Err(RecvTimeoutError::Disconnected) => return true,
            message => message.ok(),
        },
        false => None,
    };
    for message in first.into_iter().chain(messages.try_iter()).take(BATCH) {
        match message {
            Message::Job(job) => batch.push(job),
            Message::Close => return true,
        }
    }
    false
}

statements! {
    Begin: "BEGIN IMMEDIATE";
    Savepoint: "SAVEPOINT job";
    RollbackTo: "ROLLBACK TO job";
    Release: "RELEASE job";
    Commit: "COMMIT";
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
