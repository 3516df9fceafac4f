use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{Config, DAY, Issuer, Origins, Source, TokenHeader};
use crate::domain::{EmailChange, ForwardAuthHeaders, Lifetime, PasswordHash, TokenPrefix};

/// One setting: its names, its documentation, and the parser of its value.
pub struct Setting {
    /// The key in `bearerd.toml`. An environment variable has it in capitals after `BEARERD_`, a flag with
    /// hyphens.
    pub key: &'static str,
    /// Its purpose, in half a line.
    pub about: &'static str,
    /// The allowed values.
    pub allowed: &'static str,
    /// The default, which [`Config::default`] has too, spelled as in the environment.
    pub default: &'static str,
    pub(super) read: fn(&mut Config, &str) -> Option<()>,
}

impl Setting {
    /// The name of the setting's environment variable.
    pub fn variable(&self) -> String {
        Source::Environment.name_of(self.key)
    }
}

/// All settings except the access rules.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "database_url",
        about: "the SQLite file",
        allowed: "sqlite:// and the path of a file, such as sqlite://bearerd.sqlite",
        default: "sqlite://bearerd.sqlite",
        read: |config, text| {
            let path = text.strip_prefix("sqlite://").filter(|path| !path.is_empty());
            assign(&mut config.database, path.map(PathBuf::from))
        },
    },
    Setting {
        key: "listen",
        about: "the address and port to listen on",
        allowed: "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080",
        default: "127.0.0.1:8080",
        read: |config, text| assign(&mut config.listen, text.parse().ok()),
    },
    Setting {
        key: "issuer",
        about: "the server's URL as others reach it",
        allowed: "an http or https URL without query, fragment and slash at its end, such as \
                  https://auth.example.org, or nothing for the address that the server listens on",
        default: "",
        read: |config, text| assign(&mut config.issuer, optional(text, "", Issuer::parse)),
    },
    Setting {
        key: "token_ttl",
        about: "the maximum age of a token",
        allowed: "a duration of at least 1s, such as 30d, 12h or 90s, or never",
        default: "30d",
        read: |config, text| {
            let seconds = |ttl: Duration| Lifetime::seconds(ttl.as_secs() as i64);
            let ttl = optional(text, "never", |text| duration(text, 1).map(seconds));
            assign(&mut config.token_ttl, ttl.map(|ttl| ttl.unwrap_or(Lifetime::NEVER)))
        },
    },
    Setting {
        key: "max_tokens_per_user",
        about: "how many live tokens a user may have",
        allowed: "a whole number from 1 to 1000000000, or never",
        default: "1000",
        read: |config, text| {
            let most = optional(text, "never", |text| number(text, 1..=1_000_000_000));
            assign(&mut config.max_tokens_per_user, most)
        },
    },
    Setting {
        key: "token_prefix",
        about: "what new tokens begin with",
        allowed: "1 to 10 ASCII letters or digits and an underscore, such as bd_",
        default: "bd_",
        read: |config, text| assign(&mut config.token_prefix, TokenPrefix::parse(text).ok()),
    },
    Setting {
        key: "bcrypt_cost",
        about: "the cost of new password hashes",
        allowed: "a whole number from 4 to 15",
        default: "12",
        read: |config, text| assign(&mut config.bcrypt_cost, number(text, PasswordHash::COSTS)),
    },
    Setting {
        key: "login_attempts_per_minute",
        about: "how many logins a minute may be attempted with one email from one network",
        allowed: "a whole number from 1 to 1000000",
        default: "5",
        read: |config, text| {
            assign(&mut config.login_attempts_per_minute, number(text, 1..=1_000_000))
        },
    },
    Setting {
        key: "email_change",
        about: "who may change the email of an account",
        allowed: "admin, for administrators only, or self, for the user as well",
        default: "admin",
        read: |config, text| {
            let known = [("admin", EmailChange::Admin), ("self", EmailChange::Owner)];
            let found = known.into_iter().find(|(name, _)| *name == text);
            assign(&mut config.email_change, found.map(|(_, change)| change))
        },
    },
    Setting {
        key: "trusted_proxies",
        about: "the reverse proxies whose headers name the client and the original request",
        allowed: "a list of IP addresses and networks, such as 127.0.0.1,10.1.2.0/24, or nothing; \
                  not all addresses, such as 0.0.0.0/0",
        default: "",
        read: |config, text| {
            let networks = optional(text, "", |text| text.split(',').map(network).collect());
            assign(&mut config.trusted_proxies, networks.map(Option::unwrap_or_default))
        },
    },
    Setting {
        key: "forward_auth_headers",
        about: "how the proxy names the request that it asks about, for the access rules",
        allowed: "x-forwarded (Caddy, Traefik), x-original-uri (nginx), x-original-url \
                  (ingress-nginx) or envoy (Envoy); nothing if there are no access rules",
        default: "",
        read: |config, text| {
            let headers = optional(text, "", ForwardAuthHeaders::parse);
            assign(&mut config.forward_auth_headers, headers)
        },
    },
    Setting {
        key: "token_header",
        about: "a request header that may hold a token, beside Authorization",
        allowed: "the name of a header that means nothing else to HTTP, such as X-Api-Token, or \
                  nothing",
        default: "",
        read: |config, text| {
            assign(&mut config.token_header, optional(text, "", TokenHeader::parse))
        },
    },
    Setting {
        key: "verify_basic_auth",
        about: "whether /api/verify takes a token as the password of HTTP Basic",
        allowed: "true or false",
        default: "false",
        read: |config, text| assign(&mut config.verify_basic_auth, text.parse().ok()),
    },
    Setting {
        key: "retention",
        about: "how long a revoked or expired token is kept before it is removed",
        allowed: "a duration, such as 24h or 0s",
        default: "24h",
        read: |config, text| assign(&mut config.retention, duration(text, 0)),
    },
    Setting {
        key: "sweep_interval",
        about: "the time between two sweeps",
        allowed: "a duration of at least 1s, such as 10m",
        default: "10m",
        read: |config, text| assign(&mut config.sweep_interval, duration(text, 1)),
    },
    Setting {
        key: "cache_size",
        about: "the most memory for the cache of checked tokens",
        allowed: "a whole number of bytes from 4MiB to 1024GiB, such as 67108864, 64MiB or 2GiB",
        default: "64MiB",
        read: |config, text| assign(&mut config.cache_size, bytes(text)),
    },
    Setting {
        key: "cors_origins",
        about: "the origins whose pages may call the API from a browser",
        allowed: "a list of origins, such as https://app.example.org, or * for any",
        default: "",
        read: |config, text| assign(&mut config.cors_origins, Origins::parse(text)),
    },
    Setting {
        key: "tls_cert",
        about: "the certificate for HTTPS, with its chain",
        allowed: "the path of a PEM file, and tls_key beside it",
        default: "",
        read: |config, text| assign(&mut config.tls_cert, optional(text, "", path)),
    },
    Setting {
        key: "tls_key",
        about: "the certificate's private key",
        allowed: "the path of a PEM file, and tls_cert beside it",
        default: "",
        read: |config, text| assign(&mut config.tls_key, optional(text, "", path)),
    },
    Setting {
        key: "http2",
        about: "whether HTTPS offers HTTP/2 beside HTTP/1.1",
        allowed: "true or false",
        default: "false",
        read: |config, text| assign(&mut config.http2, text.parse().ok()),
    },
    Setting {
        key: "max_connections",
        about: "how many connections may be open at once",
        allowed: "a whole number from 16 to 1000000",
        default: "8192",
        read: |config, text| assign(&mut config.max_connections, number(text, 16..=1_000_000)),
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

/// The old keys of settings that were renamed, and the keys that replace them.
pub const RENAMED: &[(&str, &str)] = &[
    ("retain", "retention"),
    ("basic_auth", "verify_basic_auth"),
    ("login_attempts", "login_attempts_per_minute"),
];

/// Parses an address or a network in CIDR notation. `/0` is refused, because it would trust every client.
/// Clients' addresses are compared as IPv4, so IPv4 mapped to IPv6 is converted, or refused as a network.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let network: IpNet = text.parse().ok()?;
    let is_mapped = matches!(network.addr(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    (network.prefix_len() > 0 && !is_mapped).then_some(network)
}

/// Parses a duration such as `30d`: a whole number of seconds, from `least` to a hundred years.
pub fn duration(text: &str, least: u64) -> Option<Duration> {
    const CENTURY: u64 = 36_525 * DAY as u64;
    let duration = humantime::parse_duration(text).ok()?;
    let whole = duration.subsec_nanos() == 0;
    (whole && (least..=CENTURY).contains(&duration.as_secs())).then_some(duration)
}

/// Parses a number of bytes, with or without KiB, MiB or GiB. The minimum is 4 MiB, because a shard of a
/// smaller cache could not hold the largest session.
fn bytes(text: &str) -> Option<u64> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];
    let (number, unit) =
        units.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = number.parse::<u64>().ok().filter(|_| is_number)?.checked_mul(unit)?;
    (4 << 20..=1 << 40).contains(&bytes).then_some(bytes)
}

/// Sets a field to its parsed value. `None` if the value is wrong.
fn assign<T>(field: &mut T, value: Option<T>) -> Option<()> {
    *field = value?;
    Some(())
}

/// Parses an optional value: the text `none` is `Some(None)`, a wrong one `None`.
fn optional<T>(text: &str, none: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if text == none { Some(None) } else { parse(text).map(Some) }
}

fn number(text: &str, range: RangeInclusive<u32>) -> Option<u32> {
    text.parse().ok().filter(|number| range.contains(number))
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.ends_with('/')).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_named_with_its_source_and_what_is_allowed() {
        for (key, value, allowed) in [
            ("BEARERD_DATABASE_URL", "postgres://x", "sqlite://bearerd.sqlite"),
            ("BEARERD_DATABASE_URL", "sqlite://", "sqlite://bearerd.sqlite"),
            ("BEARERD_LISTEN", "8080", "127.0.0.1:8080"),
            ("BEARERD_TOKEN_TTL", "0s", "at least 1s"),
            ("BEARERD_TOKEN_TTL", "", "30d"),
            ("BEARERD_TOKEN_TTL", "1500ms", "30d"),
            ("BEARERD_MAX_TOKENS_PER_USER", "0", "from 1 to 1000000000"),
            ("BEARERD_MAX_TOKENS_PER_USER", "none", "never"),
            ("BEARERD_TOKEN_PREFIX", "bd", "bd_"),
            ("BEARERD_BCRYPT_COST", "3", "4 to 15"),
            ("BEARERD_BCRYPT_COST", "16", "4 to 15"),
            ("BEARERD_LOGIN_ATTEMPTS_PER_MINUTE", "0", "1 to 1000000"),
            ("BEARERD_LOGIN_ATTEMPTS_PER_MINUTE", "1000001", "1 to 1000000"),
            ("BEARERD_EMAIL_CHANGE", "everybody", "admin, for administrators only, or self"),
            ("BEARERD_TRUSTED_PROXIES", "proxy.example.org", "10.1.2.0/24"),
            ("BEARERD_TRUSTED_PROXIES", "10.0.0.1,", "10.1.2.0/24"),
            ("BEARERD_TRUSTED_PROXIES", "10.0.0.0/33", "10.1.2.0/24"),
            ("BEARERD_TRUSTED_PROXIES", "::ffff:10.0.0.0/104", "10.1.2.0/24"),
            ("BEARERD_TRUSTED_PROXIES", "::/0", "not all addresses"),
            ("BEARERD_FORWARD_AUTH_HEADERS", "nginx", "x-original-uri (nginx)"),
            ("BEARERD_ISSUER", "https://a/", "https://auth.example.org"),
            ("BEARERD_TOKEN_HEADER", "Cookie", "X-Api-Token"),
            ("BEARERD_VERIFY_BASIC_AUTH", "yes", "true or false"),
            ("BEARERD_RETENTION", "soon", "24h"),
            ("BEARERD_SWEEP_INTERVAL", "0s", "10m"),
            ("BEARERD_CACHE_SIZE", "4095KiB", "4MiB"),
            ("BEARERD_CACHE_SIZE", "+64MiB", "64MiB"),
            ("BEARERD_CACHE_SIZE", "64 MiB", "64MiB"),
            ("BEARERD_CACHE_SIZE", "64MB", "64MiB"),
            ("BEARERD_CACHE_SIZE", "MiB", "64MiB"),
            ("BEARERD_CACHE_SIZE", "99999999999GiB", "1024GiB"),
            ("BEARERD_CORS_ORIGINS", "https://a,b", "https://app.example.org, or *"),
            ("BEARERD_TLS_CERT", "certs/", "the path of a PEM file"),
            ("BEARERD_TLS_KEY", "certs/", "the path of a PEM file"),
            ("BEARERD_LOG", "bearerd=loud=very", "env_logger"),
        ] {
            let given = [(key.to_owned(), value.to_owned())];
            let message = Config::load(None, given, []).unwrap_err().to_string();
            for part in [key, &format!("{value:?}"), "in the environment", allowed] {
                assert!(message.contains(part), "{message}: {part}");
            }
        }
    }

    #[test]
    fn a_number_of_bytes_may_have_a_unit() {
        for (text, expected) in
            [("4194304", 4 << 20), ("4096KiB", 4 << 20), ("64MiB", 64 << 20), ("1024GiB", 1 << 40)]
        {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
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
}
