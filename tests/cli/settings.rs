//! Wrong settings, and the annotated file that `check --example` prints.

use std::fs;

use bearerd::config::{Config, RENAMED, SETTINGS};

use crate::support::{Place, stderr};

/// Each setting, and a value that it refuses.
const WRONG: &[(&str, &str)] = &[
    ("database_url", "postgres://db"),
    ("listen", "localhost"),
    ("issuer", "auth.example.org"),
    ("token_ttl", "forever"),
    ("max_tokens_per_user", "0"),
    ("token_prefix", "b-_"),
    ("bcrypt_cost", "16"),
    ("login_attempts_per_minute", "0"),
    ("email_change", "everybody"),
    ("trusted_proxies", "proxy.example.org"),
    ("forward_auth_headers", "forwarded"),
    ("token_header", "X-Forwarded-For"),
    ("verify_basic_auth", "yes"),
    ("retention", "-1h"),
    ("sweep_interval", "0s"),
    ("cache_size", "64MB"),
    ("cors_origins", "example.org"),
    ("tls_cert", "certs/"),
    ("tls_key", "certs/"),
    ("http2", "h2"),
    ("max_connections", "15"),
    ("log", "bearerd=loud=very"),
];

#[test]
fn a_wrong_setting_is_reported_with_its_source_and_the_allowed_values() {
    let tried: Vec<_> = WRONG.iter().map(|(key, _)| *key).collect();
    let all: Vec<_> = SETTINGS.iter().map(|setting| setting.key).collect();
    assert_eq!(tried, all, "WRONG has a value for each setting");
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
fn an_unknown_setting_is_refused_in_each_source() {
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
fn the_old_name_of_a_setting_is_refused_with_a_hint_in_each_source() {
    for (old_key, new_key) in RENAMED {
        assert!(SETTINGS.iter().any(|setting| setting.key == *new_key), "{new_key}");
        let place = Place::new();
        fs::write(place.path().join("old.toml"), format!("{old_key} = 1\n")).unwrap();
        let variable = |key: &str| format!("BEARERD_{}", key.to_uppercase());
        let flag = |key: &str| format!("--{}", key.replace('_', "-"));
        let mut in_environment = place.command(&["serve"]);
        in_environment.env(variable(old_key), "1");
        for (mut command, old_name, new_name) in [
            (
                in_environment,
                format!("{} in the environment", variable(old_key)),
                variable(new_key),
            ),
            (
                place.command(&["serve", "--config", "old.toml"]),
                format!("{old_key} in old.toml"),
                (*new_key).to_owned(),
            ),
            (
                place.command(&["serve", &flag(old_key), "1"]),
                format!("{} on the command line", flag(old_key)),
                flag(new_key),
            ),
            (
                place.command(&[&format!("{}=1", flag(old_key)), "serve"]),
                format!("{} on the command line", flag(old_key)),
                flag(new_key),
            ),
        ] {
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{old_name}");
            let message = format!("bearerd: {old_name} was renamed; use {new_name} instead\n");
            assert_eq!(stderr(&output), message);
            assert!(!place.path().join("bearerd.sqlite").exists(), "nothing was started");
        }
    }
}

#[test]
fn the_annotated_file_has_every_setting_with_its_default() {
    let place = Place::new();
    let example = place.print(&["check", "--example"]);
    // The rules at the end have their own test.
    let lines: Vec<_> = example.lines().take_while(|line| *line != "#[[rules]]").collect();
    let settings: Vec<_> = (0..lines.len())
        .filter(|i| lines[*i].starts_with('#') && !lines[*i].starts_with("# ") && lines[*i] != "#")
        .collect();
    for &i in &settings {
        assert!(lines[i - 1].starts_with("# "), "{} is not explained", lines[i]);
    }
    // First with every setting uncommented.
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
    // Then unchanged.
    fs::write(&file, &example).unwrap();
    place.print(&["check", "--config", "all.toml"]);
}

/// The example rules of the annotated file, uncommented.
fn example_rules(place: &Place) -> String {
    let example = place.print(&["check", "--example"]);
    let lines = example.lines().skip_while(|line| *line != "#[[rules]]");
    let lines = lines.map(|line| line.strip_prefix('#').unwrap_or(line));
    let naming = "forward_auth_headers = \"x-forwarded\"";
    [naming].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_rules_decide_as_the_annotated_file_says() {
    let place = Place::new();
    let file = place.path().join("bearerd.toml");
    fs::write(&file, example_rules(&place)).unwrap();
    let rules = Config::load(Some(&file), [], []).unwrap().rules;
    let access = |method: &str, host: &str, target: &str| {
        let rule = rules.decide(method, host, target.as_bytes()).unwrap();
        rule.map(|(_, rule)| rule.requirement.to_string())
    };
    for (method, target, expected) in [
        ("GET", "/", Some("public")),
        ("HEAD", "/about/us", Some("public")),
        ("POST", "/about/us", None),
        ("GET", "/posts/1", Some("any of posts:read posts:write")),
        ("HEAD", "/posts", Some("any of posts:read posts:write")),
        ("POST", "/posts", Some("all of posts:write")),
        ("GET", "/admin", Some("all of app:admin")),
        ("GET", "/admin//users?page=2", Some("all of app:admin")),
    ] {
        assert_eq!(access(method, "app.example.org:443", target).as_deref(), expected, "{target}");
        assert_eq!(access(method, "other.example.org", target), None, "{target}");
    }
}

#[test]
fn check_shows_the_rules_in_order() {
    let place = Place::new();
    let row = |report: &serde_json::Value| report["settings"].as_array().unwrap().last().cloned();
    let json = || serde_json::from_str(&place.print(&["check", "--json"])).unwrap();
    let (setting, value) = ("rules", "0");
    let expected =
        serde_json::json!({"setting": setting, "value": value, "source": "default", "place": null});
    assert_eq!(row(&json()), Some(expected));
    fs::write(place.path().join("bearerd.toml"), example_rules(&place)).unwrap();
    let report = json();
    let (source, value) = ("file", "4");
    let expected = serde_json::json!(
        {"setting": setting, "value": value, "source": source, "place": "bearerd.toml"}
    );
    assert_eq!(row(&report), Some(expected));
    assert_eq!(report["rules"][0], "app.example.org /admin/**: all of app:admin");
    assert_eq!(report["rules"][3], "GET app.example.org any path: public");
    let text = place.print(&["check"]);
    assert!(
        text.contains("\nrule 1: app.example.org /admin/**: all of app:admin\nrule 2: "),
        "{text}"
    );
}

#[test]
fn a_wrong_rule_is_reported_and_nothing_starts() {
    let place = Place::new();
    for (text, message) in [
        (
            "[[rules]]\npublic = true\n[[rules]]\npath = \"/a*\"\nall = []\n",
            "rule 2 in bearerd.toml: path can't be \"/a*\"; allowed is * as a whole segment, for any \
             one, and ** as the last, for any number",
        ),
        (
            "[[rules]]\nany = []\n",
            "rule 1 in bearerd.toml: any can't be []; allowed is a list of at least one ability; \
             all = [] admits every live token",
        ),
        (
            "[[rules]]\npublic = true\nlog = \"info\"\n",
            "rule 1 in bearerd.toml: log is not a key of a rule; the keys are host, path, methods, \
             all, any, public; settings go above the first [[rules]]",
        ),
        (
            "rules = true\n",
            "rules in bearerd.toml can't be \"true\"; allowed is a table for each rule, under \
             [[rules]]; no such key, if there are none",
        ),
    ] {
        fs::write(place.path().join("bearerd.toml"), text).unwrap();
        let output = place.run(&["user", "list"]);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert_eq!(stderr(&output), format!("bearerd: {message}\n"));
    }
    fs::write(place.path().join("bearerd.toml"), "rule = []\n").unwrap();
    let output = place.run(&["user", "list"]);
    assert!(stderr(&output).ends_with(", log, rules\n"), "{}", stderr(&output));
    assert!(!place.path().join("bearerd.sqlite").exists(), "nothing was started");
}

#[test]
fn rules_without_forward_auth_headers_are_refused_with_a_hint() {
    let place = Place::new();
    let rules = "[[rules]]\npublic = true\n";
    fs::write(place.path().join("bearerd.toml"), rules).unwrap();
    for command in [&["check"][..], &["serve", "--listen=127.0.0.1:0"], &["user", "list"]] {
        let output = place.run(command);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert_eq!(
            stderr(&output),
            "bearerd: rules in bearerd.toml need forward_auth_headers, which says how the proxy \
             names the request that it asks about; set it to \"x-forwarded\" for Caddy or Traefik, \
             \"x-original-uri\" for nginx, \"x-original-url\" for ingress-nginx, \"envoy\" for Envoy\n"
        );
    }
    assert!(!place.path().join("bearerd.sqlite").exists(), "nothing was started");
    let rows = place.print(&["check", "--forward-auth-headers=envoy"]);
    let has_row = |row: &str| row.split_whitespace().take(2).eq(["forward_auth_headers", "envoy"]);
    assert!(rows.lines().any(has_row), "{rows}");
}

#[test]
fn rules_are_read_only_from_the_file() {
    let place = Place::new();
    let mut in_environment = place.command(&["user", "list"]);
    in_environment.env("BEARERD_RULES", "x");
    for (mut command, text) in [
        (
            in_environment,
            "bearerd: BEARERD_RULES in the environment is not allowed: access rules are read only \
             from the configuration file, under [[rules]]\n",
        ),
        (place.command(&["user", "list", "--rules=x"]), "unexpected argument '--rules'"),
    ] {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(stderr(&output).contains(text), "{}", stderr(&output));
    }
}
