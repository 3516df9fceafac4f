//! A copy of the file, taken while others write to it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::Text;
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
        // The copy is written in a folder of its own beside the target. The folder is deleted when this is
        // dropped, together with the copy's journal.
        let workplace = tempfile::Builder::new()
            .prefix(".bearerd-backup-")
            .tempdir_in(folder)
            .map_err(|error| failed(error.into()))?;
        let partial = tempfile::NamedTempFile::new_in(workplace.path())
            .map_err(|error| failed(error.into()))?;
        copy(self.0.files.clone(), partial.path()).await.map_err(failed)?;
        partial.persist_noclobber(&absolute).map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(),
            _ => failed(error.error.into()),
        })?;
        // The file's name must survive a power cut too.
        #[cfg(unix)]
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| failed(e.into()))?;
        Ok(())
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
