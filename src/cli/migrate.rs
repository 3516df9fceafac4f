use super::{CliError, output, with_services};
use crate::config::Config;

pub(super) fn run(config: &Config) -> Result<(), CliError> {
    // Opening the database migrates it.
    with_services(config, async |_| Ok(()))?;
    output::print(&format!("the database {} is up to date", config.database.display()))
}
