use clap::Args;
use clap_complete::{Shell, generate};

use super::{CliError, command, output};

#[derive(Args)]
pub(super) struct Completions {
    /// The shell to print the script for
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), CliError> {
        // Written to memory first, because clap_complete panics on a closed pipe.
        let mut script = Vec::new();
        generate(self.shell, &mut command(), "bearerd", &mut script);
        output::write(String::from_utf8_lossy(&script).trim_end())
    }
}
