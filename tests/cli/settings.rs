//! The settings: wrong ones, and the file that documents them.

use std::fs;

use bearerd::config::{Config, SETTINGS};

use crate::support::{Place, stderr};

/// Each setting, and a value that it doesn't take.
const WRONG: &[(&str, &str)] = &[
    ("database_url", "postgres://db"),
    ("listen", "localhost"),
    ("issuer", "auth.example.org"),
    ("token_ttl", "forever"),
    ("token_prefix", "b-_"),
    ("bcrypt_cost", "16"),
    ("login_attempts", "0"),
    ("trusted_proxies", "proxy.example.org"),
    ("token_header", "X-Forwarded-For"),
    ("basic_auth", "yes"),
    ("retain", "-1h"),
    ("sweep_interval", "0s"),
    ("cors_origins", "example.org"),
    ("tls_cert", "certs/"),
    ("tls_key", "certs/"),
    ("log", "bearerd=loud=very"),
];

#[test]
fn each_setting_set_wrongly_is_named_with_its_source_and_what_is_allowed() {
    let tried: Vec<_> = WRONG.iter().map(|(key, _)| *key).collect();
    let all: Vec<_> = SETTINGS.iter().map(|setting| setting.key).collect();
    assert_eq!(tried, all, "a setting that nothing wrong is tried with");
    for (setting, (key, value)) in SETTINGS.iter().zip(WRONG) {
        let place = Place::new();
        fs::write(place.path().join("wrong.toml"), format!("{key} = {value:?}\n")).unwrap();
        let flag = format!("--{}", key.replace('_', "-"));
        let variable = setting.variable();
        let argument = format!("{flag}={value}");
        let mut in_environment = place.command(&["user", "list"]);
        in_environment.env(&variable, value);
        for (mut command, named) in [
            (in_environment, format!("{variable} in the environment")),
            (place.command(&["user", "list", &argument]), format!("{flag} on the command line")),
            (
                place.command(&["user", "list", "--config", "wrong.toml"]),
                format!("{key} in wrong.toml"),
            ),
        ] {
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{named}");
            let allowed = setting.allowed;
            let message = format!("bearerd: {named} can't be {value:?}; allowed is {allowed}\n");
            assert_eq!(stderr(&output), message);
            assert!(!place.path().join("bearerd.sqlite").exists(), "nothing was started");
        }
    }
}

#[test]
fn a_name_that_is_no_setting_is_refused_wherever_it_stands() {
    let place = Place::new();
    fs::write(place.path().join("wrong.toml"), "listem = \"[::1]:1\"\n").unwrap();
    let mut in_environment = place.command(&["check"]);
    in_environment.env("BEARERD_LISTEM", "x");
    for (mut command, named) in [
        (in_environment, "BEARERD_LISTEM in the environment is not a setting"),
        (place.command(&["check", "--config", "wrong.toml"]), "listem in wrong.toml is not a"),
        (place.command(&["check", "--listem=x"]), "--listem"),
    ] {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{named}");
        assert!(stderr(&output).contains(named), "{}", stderr(&output));
    }
}

#[test]
fn the_annotated_file_has_every_setting_with_its_default() {
    let place = Place::new();
    let example = place.print(&["check", "--example"]);
    let lines: Vec<_> = example.lines().collect();
    let settings: Vec<_> = (0..lines.len())
        .filter(|i| lines[*i].starts_with('#') && !lines[*i].starts_with("# ") && lines[*i] != "#")
        .collect();
    for &i in &settings {
        assert!(lines[i - 1].starts_with("# "), "{} is not explained", lines[i]);
    }
    // With every setting taken into force.
    let in_force: Vec<_> = settings.iter().map(|&i| &lines[i][1..]).collect();
    let file = place.path().join("all.toml");
    fs::write(&file, in_force.join("\n")).unwrap();
    let config = Config::load(Some(&file), [], []).unwrap();
    assert_eq!(in_force.len(), SETTINGS.len());
    for setting in SETTINGS {
        let given = config.given.get(setting.key);
        assert_eq!(
            given.map(|given| given.text.as_str()),
            Some(setting.default),
            "{}",
            setting.key
        );
    }
    // And as it is.
    fs::write(&file, &example).unwrap();
    place.print(&["check", "--config", "all.toml"]);
}
