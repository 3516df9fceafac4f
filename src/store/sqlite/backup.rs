//! A copy of the file, taken while others write to it.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::Text;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::connection::open_copier;
use super::open_files::OpenFiles;
use crate::store::Store;

/// Why there is no backup. The target file was not created or changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target exists.
    #[error("{0} exists already, and a backup overwrites nothing")]
    Exists(PathBuf),
    /// For example: the disk is full, the folder is missing, or the database is damaged.
    #[error("can't back up to {path}: {cause}")]
    Failed {
        /// The target.
        path: PathBuf,
        /// The error of the operating system or SQLite.
        cause: String,
    },
}

type Cause = Box<dyn std::error::Error>;

impl Store {
    /// Copies the database into a new file at `target`, which only its owner can read. The copy includes
    /// every commit before this call, is one file without companions, and is on the disk when this returns.
    /// It delays no write.
    ///
    /// # Errors
    /// [`BackupError`]. A copy that fails, or whose caller stops waiting, leaves no file behind.
    pub async fn backup(&self, target: &Path) -> Result<(), BackupError> {
        let exists = || BackupError::Exists(target.to_owned());
        let failed = |cause: Cause| BackupError::Failed {
            path: target.to_owned(),
            cause: cause.to_string(),
        };
        // A dangling link is refused too.
        if target.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let absolute = std::path::absolute(target).map_err(|error| failed(error.into()))?;
        let folder = absolute.parent().unwrap_or(&absolute);
        clear_leftovers(folder);
        let workplace = Workplace::beside(folder).map_err(|error| failed(error.into()))?;
        let partial = tempfile::NamedTempFile::new_in(workplace.folder.path())
            .map_err(|error| failed(error.into()))?;
        copy(self.0.files.clone(), partial.path()).await.map_err(failed)?;
        partial.persist_noclobber(&absolute).map_err(|error| match error.error.kind() {
            ErrorKind::AlreadyExists => exists(),
            _ => failed(error.error.into()),
        })?;
        // The file's name must survive a power cut too.
        #[cfg(unix)]
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| failed(e.into()))?;
        Ok(())
    }
}

impl Store {
    /// Deletes what killed backups have left beside the database.
    pub fn clear_backup_leftovers(&self) {
        if let Some(folder) = self.0.files.database().parent() {
            clear_leftovers(folder);
        }
    }
}

/// The names of the folders in which copies are written begin so.
const PREFIX: &str = ".bearerd-backup-";

/// A folder of its own beside the target, in which a copy is written. It is deleted when this is dropped,
/// together with the copy's journal. If the process is killed it stays, and its lock ends.
struct Workplace {
    folder: TempDir,
    /// `None` on a file system without locks, where no leftovers are deleted either.
    _lock: Option<File>,
}

impl Workplace {
    fn beside(target: &Path) -> std::io::Result<Self> {
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(target)?;
            let lock = lock(folder.path());
            // Before it was locked, another process may have taken it for a leftover.
            let is_taken = matches!(&lock, Err(error) if error.kind() == ErrorKind::WouldBlock);
            if !is_taken && folder.path().exists() {
                return Ok(Self { folder, _lock: lock.ok() });
            }
        }
    }
}

/// Locks a folder for copies. The error is `WouldBlock` if another process has locked it.
fn lock(folder: &Path) -> std::io::Result<File> {
    let path = folder.join("lock");
    let file = File::options().create(true).write(true).truncate(false).open(path)?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => ErrorKind::WouldBlock.into(),
        TryLockError::Error(error) => error,
    })?;
    Ok(file)
}

/// Deletes the folders of copies that nobody has locked: they hold hashes of passwords.
fn clear_leftovers(folder: &Path) {
    let Ok(entries) = folder.read_dir() else { return };
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder || !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path = entry.path();
        let Ok(_lock) = lock(&path) else { continue };
        match std::fs::remove_dir_all(&path) {
            Ok(()) => log::info!("deleted {}, which a killed backup had left", path.display()),
            Err(error) => log::warn!("can't delete {}: {error}", path.display()),
        }
    }
}

/// Copies the database into the empty file `to`, on a thread of its own, so that no query waits
/// for it.
async fn copy(from: Arc<OpenFiles>, to: &Path) -> Result<(), Cause> {
    let to = to.to_owned();
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name("backup".to_owned()).spawn(move || {
        // The caller may have hung up.
        let _ = done.send(vacuum(&from, &to).map_err(|error| error.to_string()));
    })?;
    Ok(result.await??)
}

/// `VACUUM INTO` reads one snapshot, and in WAL mode a reader doesn't block writers. SQLite doesn't sync the
/// copy to the disk, so this does.
fn vacuum(from: &OpenFiles, to: &Path) -> Result<(), Cause> {
    let name = to.to_str().ok_or("its path is not Unicode")?;
    diesel::sql_query("VACUUM INTO ?").bind::<Text, _>(name).execute(&mut open_copier(from)?)?;
    Ok(File::options().write(true).open(to)?.sync_all()?)
}
