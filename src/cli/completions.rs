use clap::Args;
use clap_complete::{Shell, generate};

use super::{CliError, command, output};

#[derive(Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), CliError> {
        // Into memory first: what writes to a closed pipe by itself panics.
        let mut script = Vec::new();
        generate(self.shell, &mut command(), "bearerd", &mut script);
        output::write(String::from_utf8_lossy(&script).trim_end())
    }
}
