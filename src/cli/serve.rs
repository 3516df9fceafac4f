use std::io::Write as _;

use clap::Args;
use rand::distr::{Alphanumeric, SampleString};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::CliError;
use crate::app::{self, Demo, Server};
use crate::config::Config;

#[derive(Args)]
pub(super) struct Serve {
    /// Serve a demonstration on a loopback address, with a temporary database, and a user whose password
    /// is shown on the page
    #[arg(long)]
    demo: bool,
}

impl Serve {
    pub(super) fn run(self, mut config: Config) -> Result<(), CliError> {
        for warning in config.warnings() {
            log::warn!("{warning}");
        }
        if !self.demo {
            return serve(&config, None);
        }
        // The folder is removed when this is dropped, after the server has closed its files.
        let folder =
            tempfile::Builder::new().prefix("bearerd-demo-").tempdir().map_err(|error| {
                CliError::Failed(format!("can't create a temporary folder for the demo: {error}"))
            })?;
        config.database = folder.path().join("demo.sqlite");
        // Short, so that visitors can watch the sweeper remove a token.
        config.retention = std::time::Duration::from_secs(10);
        config.sweep_interval = std::time::Duration::from_secs(5);
        let demo = Demo {
            email: "demo@example.org".to_owned(),
            password: Alphanumeric.sample_string(&mut UnwrapErr(SysRng), 12),
        };
        serve(&config, Some(demo))
    }
}

fn serve(config: &Config, demo: Option<Demo>) -> Result<(), CliError> {
    app::block_on(async {
        let (stop, hangups) = (app::shutdown_signal(), app::hangup_signals());
        app::survive_signals();
        let credentials = demo
            .as_ref()
            .map(|demo| format!("demo user {}, password {}\n", demo.email, demo.password));
        let server = Server::start(config, app::system_clock(), demo).await?;
        server.reload_at(hangups);
        let url = server.url();
        let announcement =
            format!("bearerd listening on {url}\n{}", credentials.unwrap_or_default());
        // Errors are ignored, because the server must start even if its output is closed.
        let mut stdout = std::io::stdout();
        let _ = stdout.write_all(announcement.as_bytes()).and_then(|()| stdout.flush());
        Ok(server.run_until(stop).await?)
    })
}
