use std::path::PathBuf;
use std::pin::pin;

use clap::Args;
use futures_util::future::{Either, select};

use super::{CliError, output, with_services};
use crate::app;
use crate::config::Config;

#[derive(Args)]
pub(super) struct Backup {
    /// The file to write, which must not exist yet
    file: PathBuf,
}

impl Backup {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        let database = config.database.display();
        // A backup of a new, empty database would hide a wrong path.
        if !config.database.exists() {
            return Err(CliError::Failed(format!(
                "there is no database {database} to back up; set database_url to its path"
            )));
        }
        with_services(config, async |auth| {
            // Signals are caught, so that an interrupted backup leaves no partial copy behind.
            match select(pin!(auth.backup(&self.file)), pin!(app::shutdown_signal())).await {
                Either::Left((result, _)) => Ok(result?),
                Either::Right(_) => {
                    Err(CliError::Failed("interrupted; no backup was written".to_owned()))
                }
            }
        })?;
        output::print(&format!("database {database} backed up to {}", self.file.display()))
    }
}
