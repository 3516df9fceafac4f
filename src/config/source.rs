//! Where a setting's value came from.

use std::fmt;
use std::path::PathBuf;

/// A setting's value as it was written, and where.
#[derive(Clone, Debug)]
pub struct Given {
    /// The value, as the environment would spell it.
    pub text: String,
    /// Where it stood.
    pub source: Source,
}

/// What the names of all settings begin with in the environment.
pub(super) const ENVIRONMENT: &str = "BEARERD_";

/// Where a setting's value stood.
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
    /// The name that the setting `key` goes by there.
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
