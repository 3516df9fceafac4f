//! Tells whether the files at the database's path are still those that are open.
//!
//! A file that is replaced or deleted under a running server stays open: the server would go on with a file
//! that no other program sees and that is gone at the restart. So the poller and the writer ask
//! [`OpenFiles::check`], and while it fails nothing is answered from the store.
//!
//! It asks by `stat` alone. To open and close the database once more would drop the locks that SQLite holds on
//! it, because POSIX locks belong to the process and the file.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::StoreError;
use crate::store::change_log::ChangeLog;

/// How often a loss is logged.
const REMINDER: Duration = Duration::from_secs(60);

/// The database, its write-ahead log and the index of that, as they were opened.
#[derive(Debug)]
pub(in crate::store) struct OpenFiles {
    files: [OpenFile; 3],
    changes: Arc<ChangeLog>,
    /// Whether one of the files is known to be missing.
    is_lost: AtomicBool,
    /// When that was last logged.
    logged: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    identity: Identity,
}

/// What is the same for all names of a file, and different for two files that exist at the same time.
type Identity = (u64, u64);

impl OpenFiles {
    /// Remembers the files of the database that has just been opened at `path`.
    pub(in crate::store) fn new(path: &Path, changes: Arc<ChangeLog>) -> std::io::Result<Self> {
        // Of a link, SQLite opens the target, and puts the companions beside that.
        let database = path.canonicalize()?.into_os_string();
        let beside = |suffix: &str| {
            let mut name = database.clone();
            name.push(suffix);
            PathBuf::from(name)
        };
        let file = |path: PathBuf| {
            let identity = identity(&path.metadata()?);
            Ok::<_, std::io::Error>(OpenFile { path, identity })
        };
        let files =
            [file(std::path::absolute(path)?)?, file(beside("-wal"))?, file(beside("-shm"))?];
        Ok(Self { files, changes, is_lost: AtomicBool::new(false), logged: Mutex::new(None) })
    }

    /// The path of the database.
    pub(in crate::store) fn database(&self) -> &Path {
        &self.files[0].path
    }

    /// Checks that the files are in their places. If they are not, no cached session passes, and
    /// [`OpenFiles::is_lost`] holds until [`OpenFiles::set_found`]. Returns the size of the write-ahead log in
    /// bytes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if one of them is not in its place.
    pub(in crate::store) fn check(&self) -> Result<u64, StoreError> {
        let [database, log, index] = &self.files;
        self.size(database)?;
        self.size(index)?;
        self.size(log)
    }

    /// The size of a file that is in its place.
    fn size(&self, OpenFile { path, identity: opened }: &OpenFile) -> Result<u64, StoreError> {
        let event = match path.metadata() {
            Ok(found) if identity(&found) == *opened => return Ok(found.len()),
            Ok(_) => "was replaced".to_owned(),
            Err(error) if is_missing(error.kind()) => "was moved or deleted".to_owned(),
            Err(error) => format!("can't be found ({error})"),
        };
        let event = format!("{} {event}", path.display());
        self.lose(&event);
        Err(StoreError::Unavailable(event))
    }

    fn lose(&self, event: &str) {
        self.is_lost.store(true, Ordering::Release);
        self.changes.lose_place();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|last| last.elapsed() >= REMINDER) {
            *logged = Some(Instant::now());
            log::error!(
                "{event} while the server was running; restart the server, or move the file back; until \
                 then, requests are answered with 503"
            );
        }
    }

    /// Whether a check has failed. Reads and writes must then be refused.
    pub(in crate::store) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// Ends a loss, once all files are back and the change log is read anew.
    pub(in crate::store) fn set_found(&self) {
        if self.is_lost.swap(false, Ordering::AcqRel) {
            *self.logged.lock().unwrap_or_else(PoisonError::into_inner) = None;
            log::info!("{} is back; requests are answered again", self.files[0].path.display());
        }
    }
}

fn is_missing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(unix)]
fn identity(file: &std::fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

/// Elsewhere, a file that is open can't be replaced.
#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> Identity {
    (0, 0)
}
