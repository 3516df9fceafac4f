//! The poller: brings the changes of other processes to the token cache, and checks that the database's files
//! are in their places, four times a second.
//!
//! It has its own thread and connection, and never waits for the writer. So revocations by other processes take
//! effect even while the writer is stuck, for example on a hanging disk. If the poller itself is stuck, cached sessions stop
//! passing after a second, and each token is looked up.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use diesel::prelude::*;

use super::connection::open_reader;
use super::open_files::OpenFiles;
use crate::metrics::Metrics;
use crate::store::change_log::{ChangeLog, News};

const INTERVAL: Duration = Duration::from_millis(250);

pub(in crate::store) struct Poller {
    /// `None` once the poller is stopped: the thread ends when the sender is dropped.
    running: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Poller {
    pub(in crate::store) fn start(
        files: Arc<OpenFiles>,
        log: Arc<ChangeLog>,
        metrics: Metrics,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let (running, stopped) = bounded(0);
        let mut worker = Worker { files, log, metrics, connection: None, is_failing: false };
        let thread = std::thread::Builder::new().name("poller".to_owned()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(INTERVAL) {
                worker.poll();
            }
        })?;
        Ok(Self { running: Mutex::new(Some((running, thread))) })
    }

    /// Ends the thread and closes its connection.
    pub(in crate::store) fn close(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((running, thread)) = running.take() {
            drop(running);
            let _ = thread.join();
        }
    }
}

struct Worker {
    files: Arc<OpenFiles>,
    log: Arc<ChangeLog>,
    metrics: Metrics,
    /// Opened by the first read, so that a command that is done sooner needs none.
    connection: Option<SqliteConnection>,
    is_failing: bool,
}

impl Worker {
    fn poll(&mut self) {
        if self.files.is_lost() {
            // If the files are back, all is read anew.
            self.log.lose_place();
        }
        let news = self.read();
        // After the read, so that what is applied was read from the files in their places.
        match self.files.check() {
            Ok(bytes) => self.metrics.set_wal_bytes(bytes),
            Err(_) => return,
        }
        match news {
            Ok(news) => {
                self.log.apply(news);
                self.files.set_found();
                if std::mem::take(&mut self.is_failing) {
                    log::info!("the changes of other processes are read again");
                }
            }
            Err(error) => {
                self.connection = None;
                if !std::mem::replace(&mut self.is_failing, true) {
                    log::error!(
                        "the changes of other processes can't be read, so each token is looked up: {error}"
                    );
                }
            }
        }
    }

    fn read(&mut self) -> Result<News, Box<dyn std::error::Error>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(open_reader(&self.files)?),
        };
        Ok(self.log.read(connection)?)
    }
}
