//! A copy of the file, taken while others write to it.

use std::fs::File;
use std::path::{Path, PathBuf};

use diesel::prelude::*;
use diesel::sql_types::Text;
use tokio::sync::oneshot;

use super::connection::open_copier;
use crate::store::Store;

/// Why there is no backup. The file that was to hold it is not there, or is what it was.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something has that name already.
    #[error("{0} exists already, and a backup overwrites nothing")]
    Exists(PathBuf),
    /// The disk is full, the folder is missing, the database is damaged.
    #[error("can't back up to {path}: {cause}")]
    Failed {
        /// The file that was to hold the backup.
        path: PathBuf,
        /// What the operating system or SQLite said.
        cause: String,
    },
}

type Cause = Box<dyn std::error::Error>;

impl Store {
    /// Copies the database, as of some moment after this call, into a new file at `target`, for its
    /// owner's eyes alone. The copy needs no companion, and is on the disk when this returns. Nobody
    /// who writes meanwhile is held up.
    ///
    /// # Errors
    /// [`BackupError`]. There is never half a copy at `target`; a caller who stops waiting leaves
    /// none elsewhere either.
    pub async fn backup(&self, target: &Path) -> Result<(), BackupError> {
        let exists = || BackupError::Exists(target.to_owned());
        let failed = |cause: Cause| BackupError::Failed {
            path: target.to_owned(),
            cause: cause.to_string(),
        };
        // A link that leads nowhere is in the way as well.
        if target.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let absolute = std::path::absolute(target).map_err(|error| failed(error.into()))?;
        let folder = absolute.parent().unwrap_or(&absolute);
        // The copy grows in a folder of its own beside its place, which goes when this is dropped,
        // and with it the journal that SQLite keeps of a copy.
        let workplace = tempfile::Builder::new()
            .prefix(".bearerd-backup-")
            .tempdir_in(folder)
            .map_err(|error| failed(error.into()))?;
        let partial = tempfile::NamedTempFile::new_in(workplace.path())
            .map_err(|error| failed(error.into()))?;
        copy(&self.0.path, partial.path()).await.map_err(failed)?;
        partial.persist_noclobber(&absolute).map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(),
            _ => failed(error.error.into()),
        })?;
        // Its name is to survive a power cut too.
        #[cfg(unix)]
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| failed(e.into()))?;
        Ok(())
    }
}

/// Copies the database at `from` into the empty file `to`, on a thread of its own: it may take long,
/// and no query is to wait for it.
async fn copy(from: &Path, to: &Path) -> Result<(), Cause> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name("backup".to_owned()).spawn(move || {
        // Whoever asked may have hung up.
        let _ = done.send(vacuum(&from, &to).map_err(|error| error.to_string()));
    })?;
    Ok(result.await??)
}

/// `VACUUM INTO` reads one snapshot, which holds every commit that came before it, and in WAL mode a
/// reader holds no writer up. SQLite leaves it to others to bring the copy to the disk.
fn vacuum(from: &Path, to: &Path) -> Result<(), Cause> {
    let name = to.to_str().ok_or("its path is not Unicode")?;
    diesel::sql_query("VACUUM INTO ?").bind::<Text, _>(name).execute(&mut open_copier(from)?)?;
    Ok(File::options().write(true).open(to)?.sync_all()?)
}
