use clap::Args;

use super::{CliError, input, output, with_services};
use crate::config::Config;

#[derive(Args)]
pub(super) struct Prune {
    /// Remove the tokens that have been expired or revoked for at least this long, such as 2h or 0s
    /// [default: the setting retention]
    #[arg(long, value_name = "DURATION")]
    older_than: Option<String>,
}

impl Prune {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        let retention = input::duration("older-than", self.older_than.as_deref(), 0)?;
        let purged = with_services(config, async |auth| Ok(auth.prune(retention).await?))?;
        output::print(&format!(
            "{} removed: {} revoked, {} expired",
            output::format_count(purged.total(), "token"),
            purged.revoked,
            purged.expired
        ))
    }
}
