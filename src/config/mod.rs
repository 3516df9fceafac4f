//! The settings: [`Config::load`] reads them once into a typed [`Config`]. Flags override the environment,
//! which overrides `bearerd.toml`, which overrides the defaults.

mod cors_origins;
mod error;
mod file;
mod issuer;
mod proxies;
mod rules;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod token_header;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::domain::{EmailChange, ForwardAuthHeaders, Lifetime, Rules, TokenPrefix};

use error::RULES;

pub use cors_origins::Origins;
pub use error::ConfigError;
pub use issuer::Issuer;
pub use proxies::TrustedProxies;
#[doc(hidden)]
pub use settings::{RENAMED, SETTINGS, Setting, duration};
pub use source::{Given, Source};
pub use token_header::TokenHeader;

/// All settings. [`Config::load`] checks each value; values set directly are not checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The SQLite file.
    pub database: PathBuf,
    /// The address and port to listen on; port 0 takes any free port.
    pub listen: SocketAddr,
    /// The server's public URL. [`Config::issuer`] returns the default if this is `None`.
    pub issuer: Option<Issuer>,
    /// The maximum age of a token.
    pub token_ttl: Lifetime,
    /// How many live tokens a user may have; `None` for no limit.
    pub max_tokens_per_user: Option<u32>,
    /// The prefix of new tokens.
    pub token_prefix: TokenPrefix,
    /// bcrypt's cost for new hashes, 4 to 15: 2^cost rounds.
    pub bcrypt_cost: u32,
    /// How many login attempts a minute are allowed for one email from one network.
    pub login_attempts_per_minute: u32,
    /// Who may change a user's email.
    pub email_change: EmailChange,
    /// The reverse proxies whose headers name the client and the original request.
    pub trusted_proxies: Vec<IpNet>,
    /// How the proxy names the original request to `/api/verify`. [`Config::naming`] checks it against the
    /// rules.
    pub forward_auth_headers: Option<ForwardAuthHeaders>,
    /// A request header that may contain a token, besides `Authorization`.
    pub token_header: Option<TokenHeader>,
    /// Whether `/api/verify` accepts a token as the password of HTTP Basic.
    pub verify_basic_auth: bool,
    /// How long a dead token's row is kept.
    pub retention: Duration,
    /// The time between two sweeps: at least one second.
    pub sweep_interval: Duration,
    /// The maximum size of the token cache, in bytes.
    pub cache_size: u64,
    /// The origins whose pages may call the API from a browser, besides the server's own.
    pub cors_origins: Origins,
    /// The PEM file of the certificate for HTTPS. [`Config::tls_files`] checks it against `tls_key`.
    pub tls_cert: Option<PathBuf>,
    /// The PEM file of the certificate's private key.
    pub tls_key: Option<PathBuf>,
    /// Whether HTTPS offers HTTP/2 beside HTTP/1.1.
    pub http2: bool,
    /// How many connections may be open.
    pub max_connections: u32,
    /// An env_logger filter that says what to log.
    pub log: String,
    /// The access rules for `/api/verify`. Without rules, any live token passes.
    pub rules: Rules,
    /// The settings that [`Config::load`] found, by key; all others have their defaults. The text of
    /// `rules` is their number.
    pub given: BTreeMap<&'static str, Given>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: "bearerd.sqlite".into(),
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            issuer: None,
            token_ttl: Lifetime::seconds(30 * DAY),
            max_tokens_per_user: Some(1000),
            token_prefix: TokenPrefix::default(),
            bcrypt_cost: 12,
            login_attempts_per_minute: 5,
            email_change: EmailChange::Admin,
            trusted_proxies: Vec::new(),
            forward_auth_headers: None,
            token_header: None,
            verify_basic_auth: false,
            retention: Duration::from_secs(DAY as u64),
            sweep_interval: Duration::from_secs(600),
            cache_size: 64 << 20,
            cors_origins: Origins::None,
            tls_cert: None,
            tls_key: None,
            http2: false,
            max_connections: 8192,
            log: "bearerd=info,warn".into(),
            rules: Rules::default(),
            given: BTreeMap::new(),
        }
    }
}

const DAY: i64 = 24 * 60 * 60;

impl Config {
    /// Reads the settings from `file`, then the variables of `environment` that begin with `BEARERD_`, then
    /// `flags`, which are pairs of key and value. Later values override earlier ones. Without `file`, it
    /// reads `bearerd.toml` in the working directory, if that exists.
    ///
    /// # Errors
    /// [`ConfigError`] names the first unknown key or wrong value, where it was found and what is allowed.
    /// For an access rule, it gives the rule's number.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let default_file = Path::new("bearerd.toml");
        // If its existence is unknown, reading it fails: it may contain access rules, so don't skip it.
        let is_there = || default_file.try_exists().unwrap_or(true);
        if let Some(path) = file.or_else(|| is_there().then_some(default_file)) {
            let origin = Source::File(path.to_owned());
            let mut table = file::read(path)?;
            let rules = table.remove(RULES);
            for (key, value) in table {
                config.set(&key, &file::spell_value(value), &origin)?;
            }
            if let Some(rules) = rules {
                config.rules = rules::read(rules, &origin)?;
                let text = config.rules.iter().len().to_string();
                config.given.insert(RULES, Given { text, source: origin });
            }
        }
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix(source::ENVIRONMENT) {
                config.set(&key.to_lowercase(), &value, &Source::Environment)?;
            }
        }
        for (key, value) in flags {
            config.set(&key, &value, &Source::Flag)?;
        }
        config.tls_files()?;
        config.naming()?;
        Ok(config)
    }

    /// The server's public URL, without a slash at its end: the setting `issuer`, or else the address that
    /// the server listens on. If `listen` has port 0, set it to the actual address first.
    pub fn issuer(&self) -> String {
        let scheme = if self.tls_cert.is_some() { "https" } else { "http" };
        let own = || format!("{scheme}://{}", self.listen);
        self.issuer.as_ref().map_or_else(own, Issuer::to_string)
    }

    /// The files of the certificate and its key, if HTTPS is on.
    ///
    /// # Errors
    /// [`ConfigError`] if only one of them is set.
    pub fn tls_files(&self) -> Result<Option<(&Path, &Path)>, ConfigError> {
        let alone = |given, missing| {
            let fault = format!("is set without {missing}; HTTPS needs both, HTTP neither");
            self.fault_of(given, &fault)
        };
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(alone("tls_cert", "tls_key")),
            (None, Some(_)) => Err(alone("tls_key", "tls_cert")),
        }
    }

    /// How the proxy names the original request to the access rules; `None` without rules.
    ///
    /// # Errors
    /// [`ConfigError`] if there are rules, but `forward_auth_headers` is not set. There is no
    /// default, because a wrong one would read headers that clients can forge.
    pub fn naming(&self) -> Result<Option<ForwardAuthHeaders>, ConfigError> {
        match (self.rules.is_empty(), self.forward_auth_headers) {
            (true, _) => Ok(None),
            (false, Some(headers)) => Ok(Some(headers)),
            (false, None) => Err(self.fault_of(
                RULES,
                "need forward_auth_headers, which says how the proxy names the request that it \
                 asks about; set it to \"x-forwarded\" for Caddy or Traefik, \"x-original-uri\" for \
                 nginx, \"x-original-url\" for ingress-nginx, \"envoy\" for Envoy",
            )),
        }
    }

    fn fault_of(&self, key: &str, fault: &str) -> ConfigError {
        ConfigError::setting(key, self.given.get(key).map(|given| &given.source), fault)
    }

    fn set(&mut self, key: &str, value: &str, origin: &Source) -> Result<(), ConfigError> {
        if key == RULES {
            let fault = "is not allowed: access rules are read only from the configuration file, \
                         under [[rules]]";
            return Err(ConfigError::setting(key, Some(origin), fault));
        }
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            return Err(ConfigError::unknown(key, origin));
        };
        (setting.read)(self, value).ok_or_else(|| {
            let fault = format!("can't be {value:?}; allowed is {}", setting.allowed);
            ConfigError::setting(key, Some(origin), fault)
        })?;
        self.given.insert(setting.key, Given { text: value.to_owned(), source: origin.clone() });
        Ok(())
    }

    /// One line for each setting that is unsafe or has no effect, with the reason.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.bcrypt_cost < 10 {
            warnings.push(format!(
                "bcrypt_cost is {}: below 10, passwords are quickly guessed from their hashes",
                self.bcrypt_cost
            ));
        }
        let is_open = !self.listen.ip().to_canonical().is_loopback();
        if is_open && self.tls_cert.is_none() && self.trusted_proxies.is_empty() {
            warnings.push(format!(
                "listen is {}: without HTTPS, passwords and tokens cross the network unencrypted; \
                 set tls_cert and tls_key, or let a proxy in front serve HTTPS",
                self.listen
            ));
        }
        if !self.rules.is_empty() && self.trusted_proxies.is_empty() {
            let unused = "there are access rules, but trusted_proxies is empty: the rules are \
                          never used";
            warnings.push(unused.to_owned());
        }
        if self.rules.is_empty() && self.forward_auth_headers.is_some() {
            let unused = "forward_auth_headers is set without access rules: it has no effect";
            warnings.push(unused.to_owned());
        }
        warnings
    }
}
