//! The writer: the one connection that writes, and its group commit.
//!
//! SQLite lets one connection write at a time, and a durable commit costs a wait for the disk. So
//! the writes that arrive while one batch commits form the next batch: one transaction, a
//! savepoint for each job so that one that fails spoils no other, and no answer before `COMMIT`.
//! The idea is as old as IMS Fast Path: Gawlick and Kinkade, "Varieties of Concurrency Control in
//! IMS/VS Fast Path", 1985.
//!
//! Before each commit, the writer reads the new rows of the change log: those of its own transaction and those
//! of other processes. After the commit, and before any answer, it invalidates what they name. If its thread
//! ends, no cached session passes any more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use tokio::sync::oneshot;

use super::checkpoints::{Checkpoints, LastFailure};
use super::open_files::OpenFiles;
use super::statements::statements;
use crate::metrics::Metrics;
use crate::store::change_log::{ChangeLog, News};
use crate::store::{StoreError, closed};

/// Writes that may wait for the next batch; further ones are refused.
pub(in crate::store) const QUEUE: usize = 1024;
/// The most writes in one transaction.
const BATCH: usize = 256;

pub(in crate::store) struct Writer {
    jobs: Sender<Message>,
    /// `None` once the writer is closed.
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Job(Box<dyn Job>),
    Close,
}

/// One write: it runs inside the batch's transaction and is answered after its end.
trait Job: Send {
    fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), ()>;
    /// Answers the caller: with the result of `run`, or with the error that the batch failed with.
    fn answer(self: Box<Self>, failure: Option<&StoreError>);
}

struct Write<F, T> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Write<F, T>
where
    F: FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    T: Send + 'static,
{
    fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), ()> {
        let work = self.work.take().ok_or(())?;
        // A panic must cost its own job alone: its result stays empty.
        self.result = catch_unwind(AssertUnwindSafe(|| work(connection))).ok();
        match self.result {
            Some(Ok(_)) => Ok(()),
            _ => Err(()),
        }
    }

    fn answer(self: Box<Self>, failure: Option<&StoreError>) {
        let result = match (failure, self.result) {
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(result)) => result,
            (None, None) => Err(StoreError::Failed("a write panicked".to_owned())),
        };
        // The caller may have hung up.
        let _ = self.answer.send(result);
    }
}

impl Writer {
    pub(in crate::store) fn start(
        mut connection: SqliteConnection,
        files: Arc<OpenFiles>,
        log: Arc<ChangeLog>,
        checkpoint_failure: LastFailure,
        metrics: Metrics,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let (jobs, messages) = bounded(QUEUE);
        // Before anything can be read and cached: no change of another process goes unnoticed.
        log.apply(log.read(&mut connection)?);
        let checkpoints = Checkpoints::new(checkpoint_failure, metrics.clone());
        let worker = Worker { connection, files, log, checkpoints, metrics };
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || worker.serve(&messages))?;
        Ok(Self { jobs, thread: Mutex::new(Some(thread)) })
    }

    /// Runs `work` in the next batch; the answer comes after its commit, and after the sessions that it
    /// changes were invalidated. A caller who stops waiting stops nothing: the write goes on and keeps its
    /// place.
    pub(in crate::store) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, result) = oneshot::channel();
        let job = Box::new(Write { work: Some(work), result: None, answer });
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

    /// Commits what is queued, checkpoints the write-ahead log and closes the connection.
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
    files: Arc<OpenFiles>,
    log: Arc<ChangeLog>,
    checkpoints: Checkpoints,
    metrics: Metrics,
}

impl Drop for Worker {
    /// The thread has ended, by [`Writer::close`] or by a panic.
    fn drop(&mut self) {
        self.log.end();
    }
}

impl Worker {
    fn serve(mut self, messages: &Receiver<Message>) {
        let mut closing = false;
        while !closing {
            let (batch, last) = gather(messages);
            closing = last;
            if !batch.is_empty() {
                self.commit(batch);
            }
        }
        self.log.end();
        self.checkpoints.finish(&mut self.connection);
    }

    /// Runs the jobs as one transaction, invalidates what they change, and answers. Then it is time for a
    /// checkpoint.
    fn commit(&mut self, mut batch: Vec<Box<dyn Job>>) {
        let result = self.run(&mut batch).and_then(|news| {
            Commit {}.execute(&mut self.connection)?;
            Ok(news)
        });
        let outcome = match result {
            Ok(news) => {
                self.metrics.commit_batch_size.observe(batch.len() as f64);
                self.log.apply(news);
                // A commit into a file that is gone is lost at the restart.
                self.files.check()
            }
            Err(error) => {
                let error = StoreError::from(error);
                log::error!("{} writes were lost: {error}", batch.len());
                // Fails where SQLite has rolled back by itself already, or has begun nothing.
                let _ = self.connection.batch_execute("ROLLBACK");
                // A commit that fails may have taken place all the same.
                if let Ok(news) = self.log.read(&mut self.connection) {
                    self.log.apply(news);
                }
                Err(error)
            }
        };
        for job in batch {
            job.answer(outcome.as_ref().err());
        }
        if let Ok(wal_bytes) = outcome {
            self.checkpoints.run(&mut self.connection, wal_bytes);
        }
    }

    /// Begins a transaction, runs the jobs, and reads the change log.
    fn run(&mut self, batch: &mut [Box<dyn Job>]) -> QueryResult<News> {
        Begin {}.execute(&mut self.connection)?;
        for job in batch {
            Savepoint {}.execute(&mut self.connection)?;
            if job.run(&mut self.connection).is_err() {
                // On a full or failing disk SQLite may roll the whole transaction back. Then there
                // is no savepoint left to go back to, and this error ends the batch.
                RollbackTo {}.execute(&mut self.connection)?;
            }
            Release {}.execute(&mut self.connection)?;
        }
        self.log.read(&mut self.connection)
    }
}

/// The writes that wait; if there are none, the next one to come. Tells whether there will be no more.
fn gather(messages: &Receiver<Message>) -> (Vec<Box<dyn Job>>, bool) {
    let mut batch = Vec::new();
    let Ok(first) = messages.recv() else { return (batch, true) };
    for message in std::iter::once(first).chain(messages.try_iter()).take(BATCH) {
        match message {
            Message::Job(job) => batch.push(job),
            Message::Close => return (batch, true),
        }
    }
    (batch, false)
}

statements! {
    Begin: "BEGIN IMMEDIATE";
    Savepoint: "SAVEPOINT job";
    RollbackTo: "ROLLBACK TO job";
    Release: "RELEASE job";
    Commit: "COMMIT";
}
