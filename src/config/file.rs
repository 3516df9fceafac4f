use std::path::Path;

use toml::{Table, Value};

use super::error::ConfigError;

/// Reads a configuration file, without checking its keys and values.
pub(super) fn read(path: &Path) -> Result<Table, ConfigError> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|cause| {
        ConfigError::File(format!("can't read the configuration file {name}: {cause}"))
    })?;
    text.parse().map_err(|cause| ConfigError::File(format!("{name} is not a TOML file: {cause}")))
}

/// The value spelled as in the environment.
pub(super) fn spell_value(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Array(values) => values.into_iter().map(spell_value).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
