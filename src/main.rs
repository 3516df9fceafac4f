//! The binary `bearerd`: runs the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    bearerd::cli::main()
}
