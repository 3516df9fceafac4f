use std::collections::BTreeMap;
use std::path::Path;

use super::ConfigError;

/// The keys and values of a configuration file, each value as the environment would spell it.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
    let table: toml::Table =
        text.parse().map_err(|cause| ConfigError::Syntax { path: path.to_owned(), cause })?;
    Ok(table.into_iter().map(|(key, value)| (key, spell(value))).collect())
}

fn spell(value: toml::Value) -> String {
    match value {
        toml::Value::String(text) => text,
        toml::Value::Array(values) => values.into_iter().map(spell).collect::<Vec<_>>().join(","),
        toml::Value::Integer(number) => number.to_string(),
        other @ (toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Table(_)) => other.to_string(),
    }
}
