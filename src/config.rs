//! The settings: read once from defaults, `bearerd.toml`, the environment and flags, each over the
//! one before, into one typed [`Config`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::domain::{Lifetime, Origins, TokenPrefix};

/// Every setting; [`Config::load`] checks them.
#[derive(Clone, Debug)]
pub struct Config {
    /// The SQLite file.
    pub database: PathBuf,
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// How old a token may grow.
    pub token_ttl: Lifetime,
    /// What new tokens begin with.
    pub token_prefix: TokenPrefix,
    /// bcrypt's cost for new hashes: 2^cost rounds.
    pub bcrypt_cost: u32,
    /// How often a minute one email may be tried from one address.
    pub login_attempts: u32,
    /// The reverse proxies that are believed when they say whose request they pass on.
    pub trusted_proxies: Vec<IpNet>,
    /// For how long a dead token's row is kept.
    pub retain: Duration,
    /// How long the sweeper rests between two passes.
    pub sweep_interval: Duration,
    /// Whose pages may call the API from a browser, beside the server's own.
    pub cors_origins: Origins,
    /// The PEM file of the certificate for HTTPS; [`Config::tls_files`] has it with its key.
    pub tls_cert: Option<PathBuf>,
    /// The PEM file of the certificate's private key.
    pub tls_key: Option<PathBuf>,
    /// What to log: env_logger's filter.
    pub log: String,
    /// What [`Config::load`] found set, by its key; the rest are defaults.
    pub given: BTreeMap<&'static str, Given>,
}

/// A setting's value as it was written, and where.
#[derive(Clone, Debug)]
pub struct Given {
    /// The value, as the environment would spell it.
    pub text: String,
    /// Where it stood.
    pub source: Source,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: "bearerd.sqlite".into(),
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            token_ttl: Lifetime::seconds(30 * DAY),
            token_prefix: TokenPrefix::default(),
            bcrypt_cost: 12,
            login_attempts: 5,
            trusted_proxies: Vec::new(),
            retain: Duration::from_secs(DAY as u64),
            sweep_interval: Duration::from_secs(600),
            cors_origins: Origins::None,
            tls_cert: None,
            tls_key: None,
            log: "bearerd=info,warn".into(),
            given: BTreeMap::new(),
        }
    }
}

const DAY: i64 = 24 * 60 * 60;

/// One setting: its name everywhere, and how its value is read.
pub struct Setting {
    /// The key in `bearerd.toml`; in capitals behind `BEARERD_` in the environment; with hyphens
    /// as a flag.
    pub key: &'static str,
    /// What it is for, in half a line.
    pub about: &'static str,
    /// What its value may be.
    pub allowed: &'static str,
    /// The value that [`Config::default`] has, as the environment would spell it.
    pub default: &'static str,
    read: fn(&mut Config, &str) -> Option<()>,
}

impl Setting {
    /// The setting's name in the environment.
    pub fn variable(&self) -> String {
        Source::Environment.name_of(self.key)
    }
}

const ENVIRONMENT: &str = "BEARERD_";

/// All settings there are.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "database_url",
        about: "the SQLite file",
        allowed: "sqlite:// and the path of a file, such as sqlite://bearerd.sqlite",
        default: "sqlite://bearerd.sqlite",
        read: |config, text| {
            let path = text.strip_prefix("sqlite://").filter(|path| !path.is_empty())?;
            config.database = path.into();
            Some(())
        },
    },
    Setting {
        key: "listen",
        about: "the address and port to listen on",
        allowed: "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080",
        default: "127.0.0.1:8080",
        read: |config, text| text.parse().ok().map(|address| config.listen = address),
    },
    Setting {
        key: "token_ttl",
        about: "how old a token may grow",
        allowed: "a duration of at least 1s, such as 30d, 12h or 90s, or never",
        default: "30d",
        read: |config, text| {
            config.token_ttl = match text {
                "never" => Lifetime::NEVER,
                text => Lifetime::seconds(duration(text, 1)?.as_secs() as i64),
            };
            Some(())
        },
    },
    Setting {
        key: "token_prefix",
        about: "what new tokens begin with",
        allowed: "1 to 10 ASCII letters or digits and an underscore, such as bd_",
        default: "bd_",
        read: |config, text| {
            TokenPrefix::parse(text).ok().map(|prefix| config.token_prefix = prefix)
        },
    },
    Setting {
        key: "bcrypt_cost",
        about: "the cost of new password hashes",
        allowed: "a whole number from 4 to 15",
        default: "12",
        read: |config, text| {
            config.bcrypt_cost = text.parse().ok().filter(|cost| (4..=15).contains(cost))?;
            Some(())
        },
    },
    Setting {
        key: "login_attempts",
        about: "how often a minute one email may be tried from one address",
        allowed: "a whole number from 1 to 1000000",
        default: "5",
        read: |config, text| {
            config.login_attempts =
                text.parse().ok().filter(|attempts| (1..=1_000_000).contains(attempts))?;
            Some(())
        },
    },
    Setting {
        key: "trusted_proxies",
        about: "the reverse proxies that say truly whose request they pass on",
        allowed: "a list of IP addresses and networks, such as 127.0.0.1,10.1.2.0/24, or nothing; \
                  not all there are, such as 0.0.0.0/0",
        default: "",
        read: |config, text| {
            let networks = text.split(',').map(network).collect::<Option<_>>();
            config.trusted_proxies = if text.is_empty() { Vec::new() } else { networks? };
            Some(())
        },
    },
    Setting {
        key: "retain",
        about: "how long a dead token's row is kept",
        allowed: "a duration, such as 24h or 0s",
        default: "24h",
        read: |config, text| duration(text, 0).map(|retain| config.retain = retain),
    },
    Setting {
        key: "sweep_interval",
        about: "how long the sweeper rests between two passes",
        allowed: "a duration of at least 1s, such as 10m",
        default: "10m",
        read: |config, text| duration(text, 1).map(|interval| config.sweep_interval = interval),
    },
    Setting {
        key: "cors_origins",
        about: "whose pages may call the API from a browser",
        allowed: "a list of origins, such as https://app.example.org, or * for any",
        default: "",
        read: |config, text| Origins::parse(text).map(|origins| config.cors_origins = origins),
    },
    Setting {
        key: "tls_cert",
        about: "the certificate for HTTPS, and the chain above it",
        allowed: "the path of a PEM file, and tls_key beside it",
        default: "",
        read: |config, text| path(text).map(|path| config.tls_cert = path),
    },
    Setting {
        key: "tls_key",
        about: "the certificate's private key",
        allowed: "the path of a PEM file, and tls_cert beside it",
        default: "",
        read: |config, text| path(text).map(|path| config.tls_key = path),
    },
    Setting {
        key: "log",
        about: "what to log",
        allowed: "an env_logger filter, such as info or bearerd=debug,warn",
        default: "bearerd=info,warn",
        read: |config, text| {
            env_filter::Builder::new().try_parse(text).ok()?;
            config.log = text.to_owned();
            Some(())
        },
    },
];

/// An address, as a network of its own, or a network in CIDR notation; in IPv4 what is IPv4, as the
/// addresses are that it is compared with. Nobody can trust everybody.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let network: IpNet = text.parse().ok()?;
    let is_mapped = matches!(network.addr(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    (network.prefix_len() > 0 && !is_mapped).then_some(network)
}

/// A whole number of seconds from `least` up to a hundred years, written like `30d`.
pub fn duration(text: &str, least: u64) -> Option<Duration> {
    const CENTURY: u64 = 36_525 * DAY as u64;
    let duration = humantime::parse_duration(text).ok()?;
    let whole = duration.subsec_nanos() == 0;
    (whole && (least..=CENTURY).contains(&duration.as_secs())).then_some(duration)
}

/// The path of a file; nothing for an empty text, which sets nothing.
fn path(text: &str) -> Option<Option<PathBuf>> {
    (!text.ends_with('/')).then(|| (!text.is_empty()).then(|| text.into()))
}

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

/// Why there is no [`Config`].
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
    /// A setting that means nothing without another.
    #[error("{given} is set without {missing}; HTTPS needs both, HTTP neither")]
    Alone {
        /// The setting there is.
        given: &'static str,
        /// The one there is not.
        missing: &'static str,
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

fn known_names(origin: &Source) -> String {
    let names: Vec<_> = SETTINGS.iter().map(|setting| origin.name_of(setting.key)).collect();
    names.join(", ")
}

impl Config {
    /// Reads the settings: defaults, then `file` (or `bearerd.toml` in the working directory, if
    /// there is one), then those of `environment` that begin with `BEARERD_`, then `flags`, which
    /// are keys and values.
    ///
    /// # Errors
    /// [`ConfigError`] names the first key that is unknown or has a value it can't have, where it
    /// stands, and what is allowed.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let default_file = Path::new("bearerd.toml");
        if let Some(path) = file.or_else(|| default_file.exists().then_some(default_file)) {
            let origin = Source::File(path.to_owned());
            for (key, value) in read_file(path)? {
                config.set(&key, &value, &origin)?;
            }
        }
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix(ENVIRONMENT) {
                config.set(&key.to_lowercase(), &value, &Source::Environment)?;
            }
        }
        for (key, value) in flags {
            config.set(&key, &value, &Source::Flag)?;
        }
        config.tls_files()?;
        Ok(config)
    }

    /// The files of the certificate and its key, if HTTPS is on.
    ///
    /// # Errors
    /// [`ConfigError::Alone`] if there is one without the other.
    pub fn tls_files(&self) -> Result<Option<(&Path, &Path)>, ConfigError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(ConfigError::Alone { given: "tls_cert", missing: "tls_key" }),
            (None, Some(_)) => Err(ConfigError::Alone { given: "tls_key", missing: "tls_cert" }),
        }
    }

    fn set(&mut self, key: &str, value: &str, origin: &Source) -> Result<(), ConfigError> {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            let (name, origin) = (origin.name_of(key), origin.clone());
            return Err(ConfigError::Unknown { name, origin });
        };
        (setting.read)(self, value).ok_or_else(|| ConfigError::Value {
            name: origin.name_of(key),
            value: value.to_owned(),
            origin: origin.clone(),
            allowed: setting.allowed,
        })?;
        self.given.insert(setting.key, Given { text: value.to_owned(), source: origin.clone() });
        Ok(())
    }

    /// Which settings are unsafe, and why: a line each for whoever starts the server.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.bcrypt_cost < 10 {
            warnings.push(format!(
                "bcrypt_cost is {}: hashes under 10 are quick to guess from",
                self.bcrypt_cost
            ));
        }
        let is_open = !self.listen.ip().to_canonical().is_loopback();
        if is_open && self.tls_cert.is_none() && self.trusted_proxies.is_empty() {
            warnings.push(format!(
                "listen is {}: without HTTPS, passwords and tokens cross the network in the clear, \
                 unless a proxy in front speaks it",
                self.listen
            ));
        }
        warnings
    }
}

/// The keys and values of a configuration file, each value as the environment would spell it.
fn read_file(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect()
    }

    #[test]
    fn flags_go_over_the_environment_and_that_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.toml");
        std::fs::write(&file, "bcrypt_cost = 5\nretain = \"5h\"\nlisten = \"[::1]:5\"\n").unwrap();
        let config = Config::load(
            Some(&file),
            pairs(&[("BEARERD_RETAIN", "6h"), ("BEARERD_LISTEN", "[::1]:6"), ("HOME", "x")]),
            pairs(&[("listen", "[::1]:7")]),
        )
        .unwrap();
        assert_eq!(config.bcrypt_cost, 5);
        assert_eq!(config.retain, Duration::from_secs(6 * 3600));
        assert_eq!(config.listen.port(), 7);
        assert_eq!(config.token_ttl, Lifetime::seconds(30 * DAY), "the default");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_source_and_what_is_allowed() {
        for (key, value, allowed) in [
            ("BEARERD_DATABASE_URL", "postgres://x", "sqlite://bearerd.sqlite"),
            ("BEARERD_DATABASE_URL", "sqlite://", "sqlite://bearerd.sqlite"),
            ("BEARERD_LISTEN", "8080", "127.0.0.1:8080"),
            ("BEARERD_TOKEN_TTL", "0s", "at least 1s"),
            ("BEARERD_TOKEN_TTL", "", "30d"),
            ("BEARERD_TOKEN_TTL", "1500ms", "30d"),
            ("BEARERD_TOKEN_PREFIX", "bd", "bd_"),
            ("BEARERD_BCRYPT_COST", "3", "4 to 15"),
            ("BEARERD_BCRYPT_COST", "16", "4 to 15"),
            ("BEARERD_LOGIN_ATTEMPTS", "0", "1 to 1000000"),
            ("BEARERD_LOGIN_ATTEMPTS", "1000001", "1 to 1000000"),
            ("BEARERD_TRUSTED_PROXIES", "proxy.example.org", "10.1.2.0/24"),
            ("BEARERD_TRUSTED_PROXIES", "10.0.0.1,", "10.1.2.0/24"),
            ("BEARERD_TRUSTED_PROXIES", "10.0.0.0/33", "10.1.2.0/24"),
            ("BEARERD_TRUSTED_PROXIES", "::ffff:10.0.0.0/104", "10.1.2.0/24"),
            ("BEARERD_TRUSTED_PROXIES", "::/0", "not all there are"),
            ("BEARERD_RETAIN", "soon", "24h"),
            ("BEARERD_SWEEP_INTERVAL", "0s", "10m"),
            ("BEARERD_CORS_ORIGINS", "https://a,b", "https://app.example.org, or *"),
            ("BEARERD_TLS_CERT", "certs/", "the path of a PEM file"),
            ("BEARERD_TLS_KEY", "certs/", "the path of a PEM file"),
            ("BEARERD_LOG", "bearerd=loud=very", "env_logger"),
        ] {
            let message = Config::load(None, pairs(&[(key, value)]), []).unwrap_err().to_string();
            for part in [key, &format!("{value:?}"), "in the environment", allowed] {
                assert!(message.contains(part), "{message}: {part}");
            }
        }
    }

    #[test]
    fn a_list_is_an_array_in_the_file_and_comma_separated_in_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.toml");
        let list = "trusted_proxies = [\"10.0.0.1\", \"2001:db8::/32\", \"::ffff:10.0.0.2\"]\n";
        std::fs::write(&file, list).unwrap();
        let read = |environment: &[(&str, &str)]| {
            let config = Config::load(Some(&file), pairs(environment), []).unwrap();
            config.trusted_proxies.iter().map(IpNet::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(read(&[]), "10.0.0.1/32 2001:db8::/32 10.0.0.2/32");
        let spaced = ("BEARERD_TRUSTED_PROXIES", "10.0.0.0/8, ::1");
        assert_eq!(read(&[spaced]), "10.0.0.0/8 ::1/128");
        assert_eq!(read(&[("BEARERD_TRUSTED_PROXIES", "")]), "");
    }

    #[test]
    fn a_certificate_and_its_key_are_set_together() {
        let load = |pairs_: &[_]| Config::load(None, pairs(pairs_), []);
        let (cert, key) = (("BEARERD_TLS_CERT", "c.pem"), ("BEARERD_TLS_KEY", "k.pem"));
        let message = load(&[cert]).unwrap_err().to_string();
        assert!(message.starts_with("tls_cert is set without tls_key"), "{message}");
        let message = load(&[key]).unwrap_err().to_string();
        assert!(message.starts_with("tls_key is set without tls_cert"), "{message}");
        let both = load(&[cert, key]).unwrap();
        assert_eq!(both.tls_files().unwrap(), Some((Path::new("c.pem"), Path::new("k.pem"))));
    }

    #[test]
    fn the_default_that_each_setting_tells_is_the_default() {
        let mut config = Config::default();
        for setting in SETTINGS {
            config.set(setting.key, setting.default, &Source::Flag).unwrap();
            assert_eq!(config.given[setting.key].text, setting.default);
        }
        config.given.clear();
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn the_source_that_counts_is_the_one_remembered() {
        let environment = pairs(&[("BEARERD_RETAIN", "6h"), ("BEARERD_LISTEN", "[::1]:6")]);
        let config = Config::load(None, environment, pairs(&[("listen", "[::1]:7")])).unwrap();
        assert_eq!(config.given["retain"].source, Source::Environment);
        assert_eq!(config.given["listen"].source, Source::Flag);
        assert_eq!(config.given["listen"].text, "[::1]:7");
        assert!(!config.given.contains_key("log"));
    }

    #[test]
    fn what_is_unsafe_is_warned_of() {
        let warnings = |setting: &str, value: &str| {
            Config::load(None, [], pairs(&[(setting, value)])).unwrap().warnings()
        };
        assert_eq!(Config::default().warnings(), [""; 0]);
        assert_eq!(warnings("listen", "127.1.2.3:80"), [""; 0]);
        assert_eq!(warnings("bcrypt_cost", "10"), [""; 0]);
        assert!(warnings("bcrypt_cost", "9")[0].starts_with("bcrypt_cost is 9:"));
        for open in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:80"] {
            assert!(warnings("listen", open)[0].starts_with(&format!("listen is {open}:")));
        }
    }

    #[test]
    fn an_unknown_key_is_named_beside_those_that_exist() {
        let message =
            Config::load(None, pairs(&[("BEARERD_LISTEM", "x")]), []).unwrap_err().to_string();
        assert!(message.contains("BEARERD_LISTEM in the environment"), "{message}");
        assert!(message.contains("BEARERD_LISTEN,"), "{message}");
    }
}
