//! The binary: parse the command line, run, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    bearerd::cli::main()
}
