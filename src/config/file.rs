use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::error::{ConfigError, RULES};

/// The contents of a configuration file.
pub(super) struct File {
    /// The settings, with values spelled as in the environment.
    pub(super) settings: BTreeMap<String, String>,
    /// The access rules, if the file has any.
    pub(super) rules: Option<Value>,
}

/// Reads a configuration file, without checking the names and values of settings.
pub(super) fn read(path: &Path) -> Result<File, ConfigError> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|cause| {
        ConfigError::File(format!("can't read the configuration file {name}: {cause}"))
    })?;
    let mut table: Table = text
        .parse()
        .map_err(|cause| ConfigError::File(format!("{name} is not a TOML file: {cause}")))?;
    let rules = table.remove(RULES);
    let settings = table.into_iter().map(|(key, value)| (key, spell_value(value))).collect();
    Ok(File { settings, rules })
}

/// The value spelled as in the environment.
pub(super) fn spell_value(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Array(values) => values.into_iter().map(spell_value).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
