use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::output::{self, Column};
use super::{CliError, Format, with_services};
use crate::config::{Config, SETTINGS, Source};

/// An annotated file with every setting. A test compares it with [`SETTINGS`].
const EXAMPLE: &str = include_str!("../../docs/bearerd.toml");

#[derive(Args)]
pub(super) struct Check {
    /// Print an annotated bearerd.toml with the default of every setting, and check nothing
    #[arg(long, conflicts_with = "json")]
    example: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Report<'a> {
    settings: Vec<Row<'a>>,
    /// Each access rule, in order.
    rules: Vec<String>,
    warnings: Vec<String>,
    database: Database<'a>,
}

#[derive(Serialize)]
struct Row<'a> {
    setting: &'static str,
    value: &'a str,
    source: &'static str,
    /// The file, the variable or the flag that sets it.
    place: Option<String>,
}

#[derive(Serialize)]
struct Database<'a> {
    path: &'a Path,
    exists: bool,
    /// The reason that it can't be opened, or its damages; empty if it is intact.
    faults: Vec<String>,
}

impl Check {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        if self.example {
            return output::write(EXAMPLE.trim_end());
        }
        // Checked before the database is opened, because opening it creates its -wal and -shm files.
        let mut warnings = config.warnings();
        warnings.extend(warn_of_exposed_files(&config.database));
        // A check creates no database, so that it can run before the first start.
        let exists = config.database.exists();
        let verdict = match exists {
            true => with_services(config, async |auth| Ok(auth.faults().await?)),
            false => Ok(Vec::new()),
        };
        let faults = match &verdict {
            Ok(faults) => faults.clone(),
            Err(error) => vec![error.to_string()],
        };
        let database = Database { path: &config.database, exists, faults };
        let rules = config.rules.iter().map(ToString::to_string).collect();
        let report = Report { settings: settings(config), rules, warnings, database };
        match self.format.json {
            true => output::print_json(&report)?,
            false => output::print_lines(&report.lines())?,
        }
        match verdict?.first() {
            None => Ok(()),
            Some(fault) => Err(CliError::Failed(format!(
                "the database {} is damaged: {fault}; restore it from a backup",
                config.database.display()
            ))),
        }
    }
}

/// A row for each setting, and one with the number of access rules.
fn settings(config: &Config) -> Vec<Row<'_>> {
    let row = |setting, default| {
        let Some(given) = config.given.get(setting) else {
            return Row { setting, value: default, source: "default", place: None };
        };
        let (source, place) = match &given.source {
            Source::File(path) => ("file", path.display().to_string()),
            source @ Source::Environment => ("environment", source.name_of(setting)),
            source @ Source::Flag => ("flag", source.name_of(setting)),
        };
        Row { setting, value: &given.text, source, place: Some(place) }
    };
    let settings = SETTINGS.iter().map(|setting| row(setting.key, setting.default));
    settings.chain([row("rules", "0")]).collect()
}

/// A warning for each file of the database that users other than its owner can read.
#[cfg(unix)]
fn warn_of_exposed_files(database: &Path) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let companion = |suffix| PathBuf::from(format!("{}{suffix}", database.display()));
    let files = [database.to_owned(), companion("-wal"), companion("-shm")];
    let readable = |file: &PathBuf| {
        let mode = file.metadata().ok()?.permissions().mode() & 0o777;
        let file = file.display();
        (mode & 0o044 != 0).then(|| {
            format!(
                "{file} has the mode {mode:o}: other users can read its password hashes; run chmod \
                 600 on it"
            )
        })
    };
    files.iter().filter_map(readable).collect()
}

#[cfg(not(unix))]
fn warn_of_exposed_files(_: &Path) -> Vec<String> {
    Vec::new()
}

impl Report<'_> {
    fn lines(&self) -> Vec<String> {
        let columns: [Column<Row<'_>>; 3] = [
            ("SETTING", |row| row.setting.to_owned()),
            ("VALUE", |row| row.value.to_owned()),
            ("SOURCE", |row| [row.source, row.place.as_deref().unwrap_or_default()].join(" ")),
        ];
        let mut lines = output::table(&self.settings, &columns);
        lines.push(String::new());
        let numbered = self.rules.iter().zip(1..);
        lines.extend(numbered.map(|(rule, number)| format!("rule {number}: {rule}")));
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        let path = self.database.path.display();
        match (self.database.exists, self.database.faults.as_slice()) {
            (false, _) => lines.push(format!(
                "the database {path} does not exist yet; `bearerd serve` creates it"
            )),
            (true, []) => lines.push(format!("the database {path} is intact")),
            (true, faults) => lines.extend(faults.iter().map(|fault| format!("fault: {fault}"))),
        }
        lines
    }
}
