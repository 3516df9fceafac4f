use super::settings::{RENAMED, SETTINGS};
use super::source::Source;

/// The key of the rules in the file.
pub(super) const RULES: &str = "rules";

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A setting is unknown or not allowed there, its value is wrong, or it needs another setting.
    #[error("{} {fault}", place(key, origin))]
    Setting {
        /// The setting's key in `bearerd.toml`.
        key: String,
        /// Where the setting was found, if [`Config::load`](super::Config::load) read it.
        origin: Option<Source>,
        /// What is wrong, and what is allowed.
        fault: String,
    },
    /// An access rule is invalid.
    #[error("rule {number} {origin}: {fault}")]
    Rule {
        /// The rule's number, counted from 1.
        number: usize,
        /// The file.
        origin: Source,
        /// What is wrong with the rule, and what is allowed.
        fault: String,
    },
    /// The configuration file can't be read, or is not valid TOML.
    #[error("{0}")]
    File(String),
}

impl ConfigError {
    pub(super) fn setting(key: &str, origin: Option<&Source>, fault: impl Into<String>) -> Self {
        Self::Setting { key: key.to_owned(), origin: origin.cloned(), fault: fault.into() }
    }

    /// The error for a key that is not a setting.
    pub(super) fn unknown(key: &str, origin: &Source) -> Self {
        Self::renamed(key, origin).unwrap_or_else(|| {
            let fault = format!("is not a setting; the settings are {}", known_names(origin));
            Self::setting(key, Some(origin), fault)
        })
    }

    /// The error for the old key of a setting that was renamed.
    #[doc(hidden)]
    pub fn renamed(key: &str, origin: &Source) -> Option<Self> {
        let (_, new_key) = RENAMED.iter().find(|(old_key, _)| *old_key == key)?;
        let fault = format!("was renamed; use {} instead", origin.name_of(new_key));
        Some(Self::setting(key, Some(origin), fault))
    }
}

fn known_names(origin: &Source) -> String {
    let settings = SETTINGS.iter().map(|setting| setting.key);
    let rules = matches!(origin, Source::File(_)).then_some(RULES);
    let names: Vec<_> = settings.chain(rules).map(|key| origin.name_of(key)).collect();
    names.join(", ")
}

/// A setting's name as spelled in `origin`, followed by `origin` itself.
fn place(key: &str, origin: &Option<Source>) -> String {
    match origin {
        Some(origin) => format!("{} {origin}", origin.name_of(key)),
        None => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn an_unknown_key_is_named_beside_those_that_exist() {
        let given = [("BEARERD_LISTEM".to_owned(), "x".to_owned())];
        let message = Config::load(None, given, []).unwrap_err().to_string();
        assert!(message.contains("BEARERD_LISTEM in the environment"), "{message}");
        assert!(message.contains("BEARERD_LISTEN,"), "{message}");
    }
}
