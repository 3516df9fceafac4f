use std::path::PathBuf;

use super::settings::{RENAMED, SETTINGS};
use super::source::Source;

/// The key of the rules in the file.
pub(super) const RULES: &str = "rules";

/// The keys of a rule.
pub(super) const KEYS: [&str; 6] = ["host", "path", "methods", "all", "any", "public"];

/// Why a rule is invalid. Each message continues "rule 2 in bearerd.toml: …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Rules have no key of this name.
    #[error(
        "{0} is not a key of a rule; the keys are {keys}; settings go above the first [[rules]]",
        keys = KEYS.join(", ")
    )]
    Unknown(String),
    /// The value is not allowed for this key.
    #[error("{key} can't be {value}; allowed is {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// The wrong value, in TOML.
        value: String,
        /// The values that are allowed.
        allowed: String,
    },
    /// The rule has none of `all`, `any` and `public`.
    #[error("it doesn't say who may pass; allowed is exactly one of all, any and public = true")]
    NoAccess,
    /// The rule has more than one of `all`, `any` and `public`.
    #[error("it has {0}; allowed is exactly one of all, any and public = true")]
    Accesses(String),
}

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no setting of this name.
    #[error("{name} {origin} is not a setting; the settings are {}", known_names(origin))]
    Unknown {
        /// The name, as spelled in `origin`.
        name: String,
        /// Where the name was found.
        origin: Source,
    },
    /// The setting has a new name.
    #[error("{name} {origin} was renamed; use {new_name} instead")]
    Renamed {
        /// The old name, as spelled in `origin`.
        name: String,
        /// Where the old name was found.
        origin: Source,
        /// The new name, as spelled in `origin`.
        new_name: String,
    },
    /// The value is not allowed for this setting.
    #[error("{name} {origin} can't be {value:?}; allowed is {allowed}")]
    Value {
        /// The setting's name, as spelled in `origin`.
        name: String,
        /// The wrong value.
        value: String,
        /// Where the value was found.
        origin: Source,
        /// The values that are allowed.
        allowed: &'static str,
    },
    /// An access rule is invalid.
    #[error("rule {number} {origin}: {error}")]
    Rule {
        /// The rule's number, counted from 1.
        number: usize,
        /// The file.
        origin: Source,
        /// What is wrong with the rule, and what is allowed.
        error: RuleError,
    },
    /// Access rules are allowed only in the configuration file.
    #[error(
        "{name} {origin} is not allowed: access rules are read only from the configuration file, under [[rules]]"
    )]
    FileAlone {
        /// The key, as spelled in `origin`.
        name: String,
        /// Where the key was found.
        origin: Source,
    },
    /// A setting has no effect without another.
    #[error("{} is set without {missing}; HTTPS needs both, HTTP neither", place(given, origin))]
    Alone {
        /// The setting that is set.
        given: &'static str,
        /// Where it was found, if [`Config::load`](super::Config::load) read it.
        origin: Option<Source>,
        /// The setting that is missing.
        missing: &'static str,
    },
    /// There are access rules, but `forward_auth_headers` is not set.
    #[error(
        "{} need forward_auth_headers, which says how the proxy names the request that it asks \
         about; set it to \"x-forwarded\" for Caddy or Traefik, \"x-original-uri\" for nginx, \
         \"x-original-url\" for ingress-nginx, \"envoy\" for Envoy",
        place(RULES, origin)
    )]
    Unnamed {
        /// Where the rules were found, if [`Config::load`](super::Config::load) read them.
        origin: Option<Source>,
    },
    /// The configuration file can't be read.
    #[error("can't read the configuration file {path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        cause: std::io::Error,
    },
    /// The configuration file is not valid TOML.
    #[error("{path} is not a TOML file: {cause}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's error, with its place in the file.
        cause: toml::de::Error,
    },
}

impl ConfigError {
    /// The error for a key that is not a setting. If the setting was renamed, the error has the new name.
    pub fn unknown(key: &str, origin: &Source) -> Self {
        let (name, origin) = (origin.name_of(key), origin.clone());
        match RENAMED.iter().find(|(old_key, _)| *old_key == key) {
            Some((_, new_key)) => Self::Renamed { name, new_name: origin.name_of(new_key), origin },
            None => Self::Unknown { name, origin },
        }
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
