use super::*;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect()
}

#[test]
fn flags_go_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.toml");
    std::fs::write(&file, "bcrypt_cost = 5\nretention = \"5h\"\nlisten = \"[::1]:5\"\n").unwrap();
    let config = Config::load(
        Some(&file),
        pairs(&[("BEARERD_RETENTION", "6h"), ("BEARERD_LISTEN", "[::1]:6"), ("HOME", "x")]),
        pairs(&[("listen", "[::1]:7")]),
    )
    .unwrap();
    assert_eq!(config.bcrypt_cost, 5);
    assert_eq!(config.retention, Duration::from_secs(6 * 3600));
    assert_eq!(config.listen.port(), 7);
    assert_eq!(config.token_ttl, Lifetime::seconds(30 * DAY), "the default");
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
    for (alone, text) in [
        (cert, "BEARERD_TLS_CERT in the environment is set without tls_key;"),
        (key, "BEARERD_TLS_KEY in the environment is set without tls_cert;"),
    ] {
        let message = load(&[alone]).unwrap_err().to_string();
        assert!(message.starts_with(text), "{message}");
    }
    let embedded = Config { tls_key: Some("k.pem".into()), ..Config::default() };
    let message = embedded.tls_files().unwrap_err().to_string();
    assert!(message.starts_with("tls_key is set without tls_cert;"), "{message}");
    let both = load(&[cert, key]).unwrap();
    assert_eq!(both.tls_files().unwrap(), Some((Path::new("c.pem"), Path::new("k.pem"))));
}

#[test]
fn the_issuer_is_the_address_unless_one_is_set() {
    let mut config = Config::default();
    assert_eq!(config.issuer(), "http://127.0.0.1:8080");
    config.listen = "[::1]:8443".parse().unwrap();
    config.tls_cert = Some("c.pem".into());
    assert_eq!(config.issuer(), "https://[::1]:8443");
    config.issuer = Issuer::parse("http://auth.example.org");
    assert_eq!(config.issuer(), "http://auth.example.org");
}

#[test]
fn the_source_that_counts_is_the_one_remembered() {
    let environment = pairs(&[("BEARERD_RETENTION", "6h"), ("BEARERD_LISTEN", "[::1]:6")]);
    let config = Config::load(None, environment, pairs(&[("listen", "[::1]:7")])).unwrap();
    assert_eq!(config.given["retention"].source, Source::Environment);
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
    assert!(warnings("forward_auth_headers", "envoy")[0].contains("has no effect"));
    assert!(warnings("bcrypt_cost", "9")[0].starts_with("bcrypt_cost is 9:"));
    for open in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:80"] {
        assert!(warnings("listen", open)[0].starts_with(&format!("listen is {open}:")));
    }
}
