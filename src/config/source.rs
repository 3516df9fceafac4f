//! Where a setting's value comes from.

use std::fmt;
use std::path::PathBuf;

/// A setting's value, and where it comes from.
#[derive(Clone, Debug)]
pub struct Given {
    /// The value, spelled as in the environment.
    pub text: String,
    /// Where the value comes from.
    pub source: Source,
}

/// The prefix of the environment variables for settings.
pub(super) const ENVIRONMENT: &str = "BEARERD_";

/// Where a setting's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment,
    /// A flag of the command line.
    Flag,
}

impl Source {
    /// The name of the setting `key` in this source.
    pub fn name_of(&self, key: &str) -> String {
        match self {
            Self::File(_) => key.to_owned(),
            Self::Environment => format!("{ENVIRONMENT}{}", key.to_uppercase()),
            Self::Flag => format!("--{}", key.replace('_', "-")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Environment => f.write_str("in the environment"),
            Self::Flag => f.write_str("on the command line"),
        }
    }
}
