use std::path::PathBuf;

use super::settings::{RENAMED, SETTINGS};
use super::source::Source;

/// The key of the access rules in the file.
pub(super) const RULES: &str = "rules";

/// The keys of a rule.
pub(super) const KEYS: [&str; 6] = ["host", "path", "methods", "all", "any", "public"];

/// Why there is no rule. Reads on from "rule 2 in bearerd.toml: …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A key that no rule has.
    #[error(
        "{0} is not a key of a rule; the keys are {keys}; settings stand above the first [[rules]]",
        keys = KEYS.join(", ")
    )]
    Unknown(String),
    /// A value that its key doesn't take.
    #[error("{key} can't be {value}; allowed is {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value given, as the file may spell it.
        value: String,
        /// What would be right.
        allowed: String,
    },
    /// Nothing about who may pass.
    #[error("it doesn't say who may pass; allowed is exactly one of all, any and public = true")]
    NoAccess,
    /// More than one thing about who may pass.
    #[error("it has {0}; allowed is exactly one of all, any and public = true")]
    Accesses(String),
}

/// Why there is no [`Config`](super::Config).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key that is no setting's.
    #[error("{name} {origin} is not a setting; the settings are {}", known_names(origin))]
    Unknown {
        /// The key, as it is called there.
        name: String,
        /// Where it stands.
        origin: Source,
    },
    /// The old name of a setting that was renamed.
    #[error("{name} {origin} was renamed; use {new_name} instead")]
    Renamed {
        /// The key, as it is called there.
        name: String,
        /// Where it stands.
        origin: Source,
        /// What the setting is called there now.
        new_name: String,
    },
    /// A value that its setting doesn't take.
    #[error("{name} {origin} can't be {value:?}; allowed is {allowed}")]
    Value {
        /// The setting, as it is called there.
        name: String,
        /// The value given.
        value: String,
        /// Where it stands.
        origin: Source,
        /// What would be right.
        allowed: &'static str,
    },
    /// An access rule that is none.
    #[error("rule {number} {origin}: {error}")]
    Rule {
        /// Which one, counted from 1.
        number: usize,
        /// The file.
        origin: Source,
        /// What is wrong with it, and what would be right.
        error: RuleError,
    },
    /// Access rules elsewhere than in the configuration file.
    #[error(
        "{name} {origin} is not allowed: access rules are read only from the configuration file, under [[rules]]"
    )]
    FileAlone {
        /// The key, as it is called there.
        name: String,
        /// Where it stands.
        origin: Source,
    },
    /// A setting that means nothing without another.
    #[error("{} is set without {missing}; HTTPS needs both, HTTP neither", place(given, origin))]
    Alone {
        /// The setting there is.
        given: &'static str,
        /// Where it stands, if it was read.
        origin: Option<Source>,
        /// The one there is not.
        missing: &'static str,
    },
    /// Access rules without the setting that says how requests are named for them.
    #[error(
        "{} need forward_auth_headers, which says how the proxy names the request that it asks \
         about; set it to \"x-forwarded\" for Caddy or Traefik, \"x-original-uri\" for nginx, \
         \"x-original-url\" for ingress-nginx, \"envoy\" for Envoy",
        place(RULES, origin)
    )]
    Unnamed {
        /// Where the rules are, if they were read.
        origin: Option<Source>,
    },
    /// A configuration file that can't be read.
    #[error("can't read the configuration file {path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// A configuration file that is not TOML.
    #[error("{path} is not a TOML file: {cause}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        cause: toml::de::Error,
    },
}

impl ConfigError {
    /// The error for a key that is not a setting. It gives the new name, if the setting was renamed.
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

/// What a setting is called where it stands, and where that is.
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
