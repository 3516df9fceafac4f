//! Reads the input of commands: passwords, tokens and the values of flags.

use std::fmt::Display;
use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use secrecy::zeroize::Zeroizing;

use super::CliError;
use crate::config;
use crate::domain::{Abilities, Password};

/// Reads a new password: typed twice without echo, or the first line of standard input.
pub(super) fn password() -> Result<Password, CliError> {
    let text = match std::io::stdin().is_terminal() {
        true => read_typed_password()?,
        false => first_line()?,
    };
    Password::chosen(text).map_err(|error| CliError::Usage(format!("the password {error}")))
}

fn read_typed_password() -> Result<String, CliError> {
    let first = read_without_echo("Password: ")?;
    let again = Zeroizing::new(read_without_echo("Again: ")?);
    match first == *again {
        true => Ok(first),
        false => Err(CliError::Usage("the two passwords differ; nothing was changed".to_owned())),
    }
}

fn read_without_echo(prompt: &str) -> Result<String, CliError> {
    rpassword::prompt_password(prompt)
        .map_err(|error| CliError::Failed(format!("can't read from the terminal: {error}")))
}

/// Reads a token: typed without echo, or the first line of standard input.
pub(super) fn token() -> Result<String, CliError> {
    match std::io::stdin().is_terminal() {
        true => read_without_echo("Token: "),
        false => first_line(),
    }
}

fn first_line() -> Result<String, CliError> {
    let mut line = String::with_capacity(128);
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| CliError::Failed(format!("can't read standard input: {error}")))?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

/// The parsed value of a flag. An error names the flag.
pub(super) fn flag<T, E: Display>(name: &str, parsed: Result<T, E>) -> Result<T, CliError> {
    parsed.map_err(|error| CliError::Usage(format!("--{name} {error}")))
}

/// The value of an optional flag: a duration of at least `least` seconds.
pub(super) fn duration(
    name: &str,
    text: Option<&str>,
    least: u64,
) -> Result<Option<Duration>, CliError> {
    let parse = |text| {
        let allowed =
            || format!("must be a duration of at least {least}s, such as 30d, 12h or 90s");
        flag(name, config::duration(text, least).ok_or_else(allowed))
    };
    text.map(parse).transpose()
}

/// The values of the repeatable flag `--ability`; `None` if it isn't given.
pub(super) fn abilities(texts: &[String]) -> Result<Option<Abilities>, CliError> {
    match texts {
        [] => Ok(None),
        texts => flag("ability", Abilities::parse(texts)).map(Some),
    }
}
