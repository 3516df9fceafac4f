use std::time::Duration;

use clap::Args;

use super::{CliError, output, with_services};
use crate::config::Config;

#[derive(Args)]
pub(super) struct Prune {
    /// Remove what has been expired or revoked for this many hours [default: the setting retention]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32))]
    hours: Option<u32>,
}

impl Prune {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        let retention = self.hours.map(|hours| Duration::from_secs(u64::from(hours) * 3600));
        let purged = with_services(config, async |auth| Ok(auth.prune(retention).await?))?;
        output::print(&format!(
            "removed {} tokens: {} revoked, {} expired",
            purged.total(),
            purged.revoked,
            purged.expired
        ))
    }
}
