//! The command line. Exit codes: 0 done, 1 failed, 2 usage.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "commands print their results")]

mod backup;
mod check;
mod completions;
mod explain;
mod input;
mod logger;
mod migrate;
mod output;
mod process;
mod prune;
mod serve;
mod token;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Subcommand};

use crate::app::{self, ServeError, Services, StartError};
use crate::auth;
use crate::config::{Config, ConfigError, SETTINGS, Source};
use crate::domain::Email;

#[derive(Subcommand)]
enum Task {
    /// Start the server
    Serve(serve::Serve),
    /// Users: create, list, show, enable, disable, password, abilities, delete
    #[command(subcommand)]
    User(user::UserTask),
    /// Tokens: issue, list, revoke
    #[command(subcommand)]
    Token(token::TokenTask),
    /// Remove tokens that have been revoked or expired for a while
    Prune(prune::Prune),
    /// Bring the database's schema up to date; other commands do this too, before they start
    Migrate,
    /// Copy the database into a new file, also while a server runs
    Backup(backup::Backup),
    /// Explain why a request would be allowed or refused
    Explain(explain::Explain),
    /// Check the database and the settings
    Check(check::Check),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Auth(#[from] auth::Error),
    #[error(transparent)]
    Backup(#[from] auth::BackupError),
    /// The arguments or the input are wrong.
    #[error("{0}")]
    Usage(String),
    /// Something else went wrong, such as a user that does not exist or a file that can't be read.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::Usage(_)
            | Self::Start(StartError::DemoExposed(_) | StartError::Config(_)) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Parses the command line, runs the command and prints its error, if any.
pub fn main() -> ExitCode {
    let _flush = logger::FlushAtExit;
    let file_limit = process::protect();
    let matches = command().try_get_matches().map_err(renamed_or_exit);
    match matches.and_then(|matches| run(&matches)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("bearerd: {}", output::escape_lines(error.to_string().lines()));
            if file_limit.load(Ordering::Relaxed) {
                text +=
                    "; a file would have grown beyond the limit of this process (see ulimit -f)";
            }
            logger::print_error(&text);
            error.exit_code()
        }
    }
}

/// The error for a renamed flag. In all other cases clap prints its own message or the help, and the
/// process exits.
fn renamed_or_exit(error: clap::Error) -> CliError {
    if let (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    {
        if flag == "--hours" {
            let hint = "prune --hours was renamed; use prune --older-than instead, with a duration \
                        such as 2h";
            return CliError::Usage(hint.to_owned());
        }
        let key = flag.trim_start_matches('-').replace('-', "_");
        if let Some(renamed) = ConfigError::renamed(&key, &Source::Flag) {
            return renamed.into();
        }
    }
    error.exit()
}

fn command() -> Command {
    let command = Command::new("bearerd")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Bearer-token authentication in one binary and one SQLite file")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .global(true)
                .help("Read the settings from this file [default: bearerd.toml, if there is one]"),
        );
    let command = SETTINGS.iter().fold(command, |command, setting| {
        command.arg(
            Arg::new(setting.key)
                .long(setting.key.replace('_', "-"))
                .value_name("VALUE")
                .global(true)
                .hide_short_help(true)
                .help_heading("Settings")
                .help(format!("{}: {} [{}]", setting.about, setting.allowed, setting.variable())),
        )
    });
    Task::augment_subcommands(command)
}

fn run(matches: &ArgMatches) -> Result<(), CliError> {
    let task =
        Task::from_arg_matches(matches).map_err(|error| CliError::Usage(error.to_string()))?;
    let flags = SETTINGS.iter().filter_map(|setting| {
        let value = matches.get_one::<String>(setting.key)?;
        Some((setting.key.to_owned(), value.clone()))
    });
    // Lossy, so that a value that is not Unicode is not ignored silently.
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into()))
    });
    let file = matches.get_one::<PathBuf>("config");
    let config = match &task {
        // Shells run this at their start, so it must not fail because of a wrong setting.
        Task::Completions(_) => Config::default(),
        _ => Config::load(file.map(PathBuf::as_path), environment, flags)?,
    };
    match task {
        Task::Serve(_) => logger::start_queued(&config.log)
            .map_err(|error| CliError::Failed(format!("can't start the log: {error}")))?,
        _ => logger::start(&config.log),
    }
    match task {
        Task::Serve(serve) => serve.run(config),
        Task::User(task) => task.run(&config),
        Task::Token(task) => task.run(&config),
        Task::Prune(prune) => prune.run(&config),
        Task::Migrate => migrate::run(&config),
        Task::Backup(backup) => backup.run(&config),
        Task::Explain(explain) => explain.run(&config),
        Task::Check(check) => check.run(&config),
        Task::Completions(completions) => completions.run(),
    }
}

/// Opens the database, runs a command on it and closes it.
fn with_services<T>(
    config: &Config,
    command: impl AsyncFnOnce(&auth::Auth) -> Result<T, CliError>,
) -> Result<T, CliError> {
    app::block_on(async {
        let services = Services::open(config, app::system_clock()).map_err(StartError::from)?;
        let result = command(&services.auth).await;
        services.close().await;
        result
    })
}

/// Replaces a "not found" error by the command's own message.
fn not_found(missing: impl FnOnce() -> String) -> impl FnOnce(auth::Error) -> CliError {
    |error| match error {
        auth::Error::NotFound(_) => CliError::Failed(missing()),
        other => other.into(),
    }
}

fn no_user(email: &Email) -> String {
    format!("there is no user with the email {email}; `bearerd user list` shows all users")
}

/// The flag `--json` of commands that print data.
#[derive(Args)]
struct Format {
    /// Print JSON
    #[arg(long)]
    json: bool,
}
