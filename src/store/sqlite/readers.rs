//! The readers: threads that run queries on connections that can't write.
//!
//! One thread takes brief queries only, so that a look-up of a token never waits for clients who page
//! through long lists. Brief queries that wait together share a transaction: SQLite takes and leaves its
//! lock, by system calls, once for all of them.
//!
//! The connections are r2d2's: it opens each when a thread first needs it, prepares it, and replaces one that
//! has failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never, select};
use diesel::prelude::*;
use diesel::r2d2::ConnectionManager;
use r2d2::{CustomizeConnection, Pool};
use scheduled_thread_pool::ScheduledThreadPool;
use tokio::sync::oneshot;

use super::connection::{as_sqlite_path, prepare_reader};
use crate::store::{StoreError, closed};

/// Queries of each kind that may wait for a reader; further ones are refused.
pub(in crate::store) const QUEUE: usize = 1024;

/// The most queries of one transaction, beside the first.
const BATCH: usize = 32;

type Connections = Pool<ConnectionManager<SqliteConnection>>;
type Query = Box<dyn FnOnce(&mut SqliteConnection) + Send>;

pub(in crate::store) struct Readers {
    brief: Sender<Query>,
    long: Sender<Query>,
    /// Dropped to end the threads.
    open: Mutex<Option<Sender<()>>>,
    /// Empty once the readers are closed.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    pub(in crate::store) fn start(path: &Path) -> Result<Self, Box<dyn std::error::Error>> {
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
            .connection_customizer(Box::new(ReadOnly))
            .thread_pool(Arc::new(helper))
            .build(ConnectionManager::new(as_sqlite_path(path)))?;
        let (brief, brief_jobs) = bounded(QUEUE);
        let (long, long_jobs) = bounded(QUEUE);
        let (open, closing) = bounded(0);
        let threads = (0..count)
            .map(|number| {
                let reader = Reader {
                    brief: brief_jobs.clone(),
                    long: if number == 0 { never() } else { long_jobs.clone() },
                    closing: closing.clone(),
                    connections: connections.clone(),
                };
                std::thread::Builder::new().name("reader".to_owned()).spawn(move || reader.serve())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { brief, long, open: Mutex::new(Some(open)), threads: Mutex::new(threads) })
    }

    /// Runs a query that reads a row or two; it may share a transaction with others like it. A caller who
    /// stops waiting frees no place in the queue: the query keeps it until a reader takes it.
    pub(in crate::store) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (query, result) = answering(query);
        enqueue(&self.brief, query)?;
        result.await.map_err(|_| closed())?
    }

    /// Runs a query that may take long.
    pub(in crate::store) async fn run_long<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (query, result) = answering(query);
        enqueue(&self.long, query)?;
        result.await.map_err(|_| closed())?
    }

    /// How many queries wait.
    pub(in crate::store) fn waiting(&self) -> usize {
        self.brief.len() + self.long.len()
    }

    /// Answers what is queued, then ends the threads and closes their connections.
    pub(in crate::store) fn close(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A query that sends its result to the receiver.
fn answering<T: Send + 'static>(
    query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
) -> (Query, oneshot::Receiver<Result<T, StoreError>>) {
    let (answer, result) = oneshot::channel();
    let query = Box::new(move |connection: &mut SqliteConnection| {
        // A panic must cost its own query alone, not the thread.
        let result = match catch_unwind(AssertUnwindSafe(|| query(connection))) {
            Ok(result) => result.map_err(StoreError::from),
            Err(_) => Err(StoreError::Failed("a query panicked".to_owned())),
        };
        // The caller may have hung up.
        let _ = answer.send(result);
    });
    (query, result)
}

fn enqueue(queue: &Sender<Query>, query: Query) -> Result<(), StoreError> {
    queue.try_send(query).map_err(|error| match error {
        TrySendError::Full(_) => StoreError::Busy,
        TrySendError::Disconnected(_) => closed(),
    })
}

/// What one thread reads from, and with.
struct Reader {
    brief: Receiver<Query>,
    long: Receiver<Query>,
    /// Disconnected when the thread is to end.
    closing: Receiver<()>,
    connections: Connections,
}

impl Reader {
    fn serve(self) {
        loop {
            let batch = select! {
                recv(self.brief) -> query => query.into_iter().chain(self.brief_share()).collect(),
                recv(self.long) -> query => query.into_iter().collect(),
                recv(self.closing) -> _ => break,
            };
            self.answer(batch);
        }
        for query in self.brief.try_iter().chain(self.long.try_iter()) {
            self.answer(vec![query]);
        }
    }

    /// This reader's share of the brief queries that wait. They are gathered before their transaction
    /// begins: each sees all that was committed before it was asked.
    fn brief_share(&self) -> impl Iterator<Item = Query> {
        let readers = self.connections.max_size() as usize;
        self.brief.try_iter().take(self.brief.len().div_ceil(readers).min(BATCH))
    }

    fn answer(&self, batch: Vec<Query>) {
        let mut connection = match self.connections.get() {
            Ok(connection) => connection,
            // The queries are dropped, and with them the senders of their results; the callers see that.
            Err(error) => return log::error!("no connection for a reader: {error}"),
        };
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
        batch.for_each(|query| query(&mut connection));
    }
}

#[derive(Debug)]
struct ReadOnly;

impl CustomizeConnection<SqliteConnection, diesel::r2d2::Error> for ReadOnly {
    fn on_acquire(&self, connection: &mut SqliteConnection) -> Result<(), diesel::r2d2::Error> {
        prepare_reader(connection).map_err(diesel::r2d2::Error::QueryError)
    }
}
