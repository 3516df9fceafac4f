//! The settings' file and the environment. Settings that are accepted mean the same when they are written
//! anew, from the file into the environment and the rules into another file, and each error names a cause.
#![no_main]

use std::path::Path;

use bearerd::config::Config;
use bearerd::domain::{Method, Requirement, Rule};
use bearerd_fuzz::service::folder;
use libfuzzer_sys::fuzz_target;
use toml::{Table, Value};

thread_local! {
    static FOLDER: tempfile::TempDir = folder();
}

// Up to a NUL: the file. After it, in each line, a variable of the environment, as `NAME=VALUE`.
fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    let environment: Vec<(String, String)> =
        bearerd_fuzz::lines(data.get(end + 1..).unwrap_or_default())
            .into_iter()
            .filter_map(|line| {
                line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
            })
            .collect();
    FOLDER.with(|folder| {
        let file = folder.path().join("bearerd.toml");
        std::fs::write(&file, &data[..end]).expect("a file");
        let config = match Config::load(Some(&file), environment.clone(), []) {
            Ok(config) => config,
            Err(error) => {
                assert!(!error.to_string().trim().is_empty());
                return;
            }
        };
        let _ = (config.warnings(), config.issuer());
        // The environment overrides the file, and flags override the environment.
        let flags = || {
            environment.iter().filter_map(|(name, value)| {
                Some((name.strip_prefix("BEARERD_")?.to_lowercase(), value.clone()))
            })
        };
        assert_same(&config, &Config::load(Some(&file), [], flags()).expect("the same as flags"));
        assert_same(&config, &again(&config, &file));
    });
});

/// The same settings: the rules from a file, all others from the environment.
fn again(config: &Config, file: &Path) -> Config {
    let rules: Vec<Value> = config.rules.iter().map(|rule| Value::Table(spell(rule))).collect();
    let mut table = Table::new();
    if !rules.is_empty() {
        table.insert("rules".to_owned(), Value::Array(rules));
    }
    std::fs::write(file, table.to_string()).expect("a file");
    let given = config.given.iter().filter(|(key, _)| **key != "rules");
    let variables =
        given.map(|(key, given)| (format!("BEARERD_{}", key.to_uppercase()), given.text.clone()));
    Config::load(Some(file), variables, []).expect("the same settings")
}

fn spell(rule: &Rule) -> Table {
    let mut table = Table::new();
    let list =
        |texts: &mut dyn Iterator<Item = &str>| Value::Array(texts.map(Value::from).collect());
    if let Some(host) = &rule.host {
        table.insert("host".to_owned(), host.to_string().into());
    }
    if let Some(path) = &rule.path {
        table.insert("path".to_owned(), path.to_string().into());
    }
    if let Some(methods) = &rule.methods {
        table.insert("methods".to_owned(), list(&mut methods.iter().map(Method::as_str)));
    }
    let (key, value) = match &rule.requirement {
        Requirement::Nothing => ("public", true.into()),
        Requirement::All(abilities) => ("all", list(&mut abilities.iter())),
        Requirement::Any(abilities) => ("any", list(&mut abilities.iter())),
        other => panic!("no file has {other:?}"),
    };
    table.insert(key.to_owned(), value);
    table
}

fn assert_same(one: &Config, other: &Config) {
    let plain =
        |config: &Config| format!("{:?}", Config { given: Default::default(), ..config.clone() });
    assert_eq!(plain(one), plain(other));
}
