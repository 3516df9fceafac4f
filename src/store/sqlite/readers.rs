//! The readers: threads that run queries on connections that can't write.
//!
//! One thread is always free for brief queries, so that a look-up of a token never waits for clients who page
//! through long lists: one less long query runs than there are threads. Brief queries that wait together share a transaction: SQLite takes and leaves its
//! lock, by system calls, once for all of them.
//!
//! The connections are r2d2's: it opens each when a thread first needs it, prepares it, and replaces one that
//! has failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use diesel::prelude::*;
use diesel::r2d2::ConnectionManager;
use r2d2::{CustomizeConnection, Pool};
use scheduled_thread_pool::ScheduledThreadPool;
use tokio::sync::{Semaphore, oneshot};

use super::connection::{prepare_reader, uri};
use super::open_files::OpenFiles;
use crate::store::change_log::ChangeLog;
use crate::store::{StoreError, closed};

/// Queries of each kind that may wait for a reader; further ones are refused.
pub(in crate::store) const QUEUE: usize = 1024;

/// The most queries of one transaction, beside the first.
const BATCH: usize = 32;

type Connections = Pool<ConnectionManager<SqliteConnection>>;
type Query = Box<dyn FnOnce(&mut SqliteConnection) + Send>;

pub(in crate::store) struct Readers {
    queue: Sender<Job>,
    /// Long queries that may be in the queue or run: one less than there are threads.
    long: Arc<Semaphore>,
    /// Long queries that may wait for this or run; further ones are refused.
    long_places: Semaphore,
    /// Empty once the readers are closed.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

enum Job {
    Brief(Query),
    Long(Query),
    /// One for each thread, which ends.
    Close,
}

impl Readers {
    pub(in crate::store) fn start(
        files: &Arc<OpenFiles>,
        log: &Arc<ChangeLog>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let count = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8));
        let helper =
            ScheduledThreadPool::builder().num_threads(1).thread_name_pattern("pool").build();
        let connections = Pool::builder()
            .max_size(count as u32)
            .min_idle(Some(1))
            .idle_timeout(None)
            .max_lifetime(None)
            .connection_timeout(Duration::from_secs(5))
            // A local file has no connection that goes stale.
            .test_on_check_out(false)
            .connection_customizer(Box::new(ReadOnly(files.clone())))
            .thread_pool(Arc::new(helper))
            .build(ConnectionManager::new(uri(files.database())))?;
        let (queue, jobs) = bounded(QUEUE);
        let threads = (0..count)
            .map(|_| {
                let (jobs, connections) = (jobs.clone(), connections.clone());
                let (files, log) = (files.clone(), log.clone());
                // While the poller is stuck, it does not watch the files.
                let is_usable = move || log.is_fresh() || files.check().is_ok();
                std::thread::Builder::new()
                    .name("reader".to_owned())
                    .spawn(move || serve(&jobs, &connections, is_usable))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            queue,
            long: Arc::new(Semaphore::new(count - 1)),
            long_places: Semaphore::new(QUEUE),
            threads: Mutex::new(threads),
        })
    }

    /// Runs a query that reads a row or two; it may share a transaction with others like it. A caller who
    /// stops waiting frees no place in the queue: the query keeps it until a reader takes it.
    pub(in crate::store) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(query, Job::Brief).await
    }

    /// Runs a query that may take long.
    pub(in crate::store) async fn run_long<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _place = self.long_places.try_acquire().map_err(|_| StoreError::Busy)?;
        let turn = self.long.clone().acquire_owned().await.map_err(|_| closed())?;
        let query = move |connection: &mut SqliteConnection| {
            let _turn = turn;
            query(connection)
        };
        self.ask(query, Job::Long).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
        job: fn(Query) -> Job,
    ) -> Result<T, StoreError> {
        let (answer, result) = oneshot::channel();
        let query: Query = Box::new(move |connection| {
            // A panic must cost its own query alone, not the thread.
            let result = match catch_unwind(AssertUnwindSafe(|| query(connection))) {
                Ok(result) => result.map_err(StoreError::from),
                Err(_) => Err(StoreError::Failed("a query panicked".to_owned())),
            };
            // The caller may have hung up.
            let _ = answer.send(result);
        });
        self.queue.try_send(job(query)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => closed(),
        })?;
        result.await.map_err(|_| closed())?
    }

    /// How many queries wait, or are long and run.
    pub(in crate::store) fn waiting(&self) -> usize {
        self.queue.len() + QUEUE - self.long_places.available_permits()
    }

    /// Answers what is queued, then ends the threads and closes their connections.
    pub(in crate::store) fn close(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        self.long.close();
        for _ in threads.iter() {
            let _ = self.queue.send(Job::Close);
        }
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(jobs: &Receiver<Job>, connections: &Connections, is_usable: impl Fn() -> bool) {
    // A job that ended the gathering of others is the next.
    let mut next = None;
    while let Some(job) = next.take().or_else(|| jobs.recv().ok()) {
        let batch = match job {
            Job::Long(query) => vec![query],
            Job::Brief(query) => {
                let batch;
                (batch, next) = gather(query, jobs, connections.max_size() as usize);
                batch
            }
            Job::Close => return,
        };
        // Queries that are dropped drop the senders of their results, which the callers see.
        if !is_usable() {
            continue;
        }
        match connections.get() {
            Ok(mut connection) => answer(&mut connection, batch),
            Err(error) => log::error!("no connection for a reader: {error}"),
        }
    }
}

/// A brief query, and a reader's share of those that wait behind it; also the job of another kind that
/// ended them. They are gathered before their transaction begins: each sees all that was committed
/// before it was asked.
fn gather(first: Query, jobs: &Receiver<Job>, readers: usize) -> (Vec<Query>, Option<Job>) {
    let mut batch = vec![first];
    for job in jobs.try_iter().take(jobs.len().div_ceil(readers).min(BATCH)) {
        match job {
            Job::Brief(query) => batch.push(query),
            other => return (batch, Some(other)),
        }
    }
    (batch, None)
}

fn answer(connection: &mut SqliteConnection, batch: Vec<Query>) {
    let mut batch = batch.into_iter();
    if batch.len() > 1 {
        let together = connection.transaction(|connection| {
            batch.by_ref().for_each(|query| query(connection));
            Ok::<_, diesel::result::Error>(())
        });
        if let Err(error) = together {
            log::warn!("queries could not share a transaction: {error}");
        }
    }
    // The only one, or those of a transaction that could not begin: each fails by itself.
    batch.for_each(|query| query(connection));
}

#[derive(Debug)]
struct ReadOnly(Arc<OpenFiles>);

impl CustomizeConnection<SqliteConnection, diesel::r2d2::Error> for ReadOnly {
    fn on_acquire(&self, connection: &mut SqliteConnection) -> Result<(), diesel::r2d2::Error> {
        prepare_reader(connection, &self.0).map_err(|error| {
            let error = ConnectionError::BadConnection(error.to_string());
            diesel::r2d2::Error::ConnectionError(error)
        })
    }
}
