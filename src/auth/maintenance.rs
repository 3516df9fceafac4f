//! The database as a file: copied, and checked for damage.

use std::path::Path;

use super::{Auth, Error};

pub use crate::store::BackupError;

impl Auth {
    /// Copies the database into a new file, while everything goes on. The copy holds what was
    /// acknowledged before this call.
    ///
    /// # Errors
    /// [`BackupError`]; what stands at `target` is never touched, and never half a copy.
    pub async fn backup(&self, target: &Path) -> Result<(), BackupError> {
        self.0.store.backup(target).await
    }

    /// What is wrong with the database, in SQLite's words; nothing, if it is whole.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn faults(&self) -> Result<Vec<String>, Error> {
        Ok(self.0.store.faults().await?)
    }
}
