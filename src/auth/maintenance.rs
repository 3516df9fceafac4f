//! Backups, and the check of the database for damage.

use std::path::Path;

use super::{Auth, Error};

pub use crate::store::BackupError;

impl Auth {
    /// Copies the database into a new file, without blocking other work. The copy has every change that was
    /// acknowledged before this call.
    ///
    /// # Errors
    /// [`BackupError`]. An existing `target` is not changed, and a copy that fails leaves no file.
    pub async fn backup(&self, target: &Path) -> Result<(), BackupError> {
        self.0.store.backup(target).await
    }

    /// Reads the whole database. Returns its faults, most in SQLite's words; none if it is intact.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn faults(&self) -> Result<Vec<String>, Error> {
        Ok(self.0.store.faults().await?)
    }
}
