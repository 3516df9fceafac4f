//! Parses the access rules: tables under `[[rules]]` in the configuration file.

use toml::{Table, Value};

use super::error::{ConfigError, RULES};
use super::file::spell_value;
use super::source::Source;
use crate::domain::{
    Abilities, HostPattern, Method, MethodError, PathPattern, Requirement, Rule, Rules,
};

/// The keys of a rule.
const KEYS: [&str; 6] = ["host", "path", "methods", "all", "any", "public"];

/// Parses the value of `rules` in the file.
pub(super) fn read(value: Value, file: &Source) -> Result<Rules, ConfigError> {
    let tables: Option<Vec<&Table>> =
        value.as_array().and_then(|values| values.iter().map(Value::as_table).collect());
    // `rules = []` is refused, because without rules any live token passes everywhere.
    let Some(tables) = tables.filter(|tables| !tables.is_empty()) else {
        let fault = format!(
            "can't be {:?}; allowed is a table for each rule, under [[rules]]; no such key, if \
             there are none",
            spell_value(value)
        );
        return Err(ConfigError::setting(RULES, Some(file), fault));
    };
    let rule = |(index, table)| {
        let (number, origin) = (index + 1, file.clone());
        rule(table).map_err(|fault| ConfigError::Rule { number, origin, fault })
    };
    Ok(Rules::new(tables.into_iter().enumerate().map(rule).collect::<Result<_, _>>()?))
}

/// Parses a rule. The error continues "rule 2 in bearerd.toml: …".
fn rule(table: &Table) -> Result<Rule, String> {
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!(
            "{key} is not a key of a rule; the keys are {}; settings go above the first [[rules]]",
            KEYS.join(", ")
        ));
    }
    Ok(Rule {
        host: read_key(table, "host", |value| {
            HostPattern::parse(text(value)?).map_err(|error| error.to_string())
        })?,
        path: read_key(table, "path", |value| {
            PathPattern::parse(text(value)?).map_err(|error| error.to_string())
        })?,
        methods: read_key(table, "methods", methods)?,
        requirement: requirement(table)?,
    })
}

/// Reads the value of a key, if the table has that key. The error of `read` says what is allowed.
fn read_key<T>(
    table: &Table,
    key: &str,
    read: impl FnOnce(&Value) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let Some(value) = table.get(key) else { return Ok(None) };
    let fault = |allowed| format!("{key} can't be {}; allowed is {allowed}", format_as_toml(value));
    read(value).map(Some).map_err(fault)
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "one string in quotes".to_owned())
}

fn methods(value: &Value) -> Result<Vec<Method>, String> {
    let methods = texts(value).and_then(|texts| {
        texts.into_iter().map(|text| Method::parse(text).ok()).collect::<Option<Vec<_>>>()
    });
    // A rule for no method would never match.
    methods.filter(|methods| !methods.is_empty()).ok_or_else(|| MethodError.to_string())
}

fn requirement(table: &Table) -> Result<Requirement, String> {
    let all = read_key(table, "all", abilities)?.map(Requirement::All);
    let any = read_key(table, "any", |value| match abilities(value)? {
        // "Any of an empty list" would refuse every request.
        none if none.as_scope().is_empty() => {
            Err("a list of at least one ability; all = [] admits every live token".to_owned())
        }
        some => Ok(some),
    })?;
    let public = read_key(table, "public", |value| match value.as_bool() {
        Some(true) => Ok(Requirement::Nothing),
        _ => Err("true alone; a rule that needs a token has all or any instead".to_owned()),
    })?;
    let mut given = [all, any.map(Requirement::Any), public].into_iter().flatten();
    let fault = match (given.next(), given.next()) {
        (Some(requirement), None) => return Ok(requirement),
        (None, _) => "it doesn't say who may pass".to_owned(),
        (Some(_), Some(_)) => {
            let keys = ["all", "any", "public"].into_iter().filter(|key| table.contains_key(*key));
            format!("it has {}", keys.collect::<Vec<_>>().join(" and "))
        }
    };
    Err(format!("{fault}; allowed is exactly one of all, any and public = true"))
}

fn abilities(value: &Value) -> Result<Abilities, String> {
    let texts =
        texts(value).ok_or_else(|| "a list of abilities, such as [\"posts:read\"]".to_owned())?;
    Abilities::parse(texts).map_err(|error| format!("a list of abilities, which {error}"))
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

/// A value in TOML, on one line.
fn format_as_toml(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Array(values) => {
            format!("[{}]", values.iter().map(format_as_toml).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Rules, String> {
        let table: Table = text.parse().unwrap();
        read(table[RULES].clone(), &Source::File("b.toml".into())).map_err(|e| e.to_string())
    }

    #[test]
    fn rules_are_read_in_their_order() {
        let rules = load(
            "[[rules]]\nhost = '*.example.org'\npath = '/posts/**'\nmethods = ['GET', 'POST']\n\
             all = ['posts:read', 'posts:list']\n[[rules]]\nany = ['a', 'b']\n[[rules]]\nall = []\n\
             [[rules]]\npath = '/'\npublic = true\n",
        );
        let rules = rules.unwrap();
        let lines: Vec<_> = rules.iter().map(Rule::to_string).collect();
        assert_eq!(
            lines,
            [
                "GET,POST *.example.org /posts/**: all of posts:read posts:list",
                "any host any path: any of a b",
                "any host any path: any live token",
                "any host /: public",
            ]
        );
        let none = load("rules = []").unwrap_err();
        assert!(none.starts_with("rules in b.toml can't be "), "{none}");
    }

    #[test]
    fn a_wrong_rule_is_named_with_its_key_its_value_and_what_is_allowed() {
        for (rule, text) in [
            ("path = 'posts'", r#"path can't be "posts"; allowed is a path that begins with /"#),
            ("path = '/a*'", r#"path can't be "/a*"; allowed is * as a whole segment"#),
            ("path = \"/a\\n\"", r#"path can't be "/a\n"; allowed is a path as it reads decoded"#),
            ("path = 1", "path can't be 1; allowed is one string"),
            ("path = ['/a']", r#"path can't be ["/a"]; allowed is one string"#),
            ("host = 'a:80'", r#"host can't be "a:80"; allowed is a host without port"#),
            ("methods = ['get']", r#"methods can't be ["get"]; allowed is a list of methods in"#),
            ("methods = 'GET'", r#"methods can't be "GET"; allowed is a list of methods in"#),
            ("methods = []", "methods can't be []; allowed is a list of methods in capitals"),
            ("methods = [1]", "methods can't be [1]; allowed is a list of methods in capitals"),
            (
                "all = ['a b']",
                r#"all can't be ["a b"]; allowed is a list of abilities, which must"#,
            ),
            ("all = 'a'", r#"all can't be "a"; allowed is a list of abilities, such as ["posts"#),
            ("all = [true]", "all can't be [true]; allowed is a list of abilities"),
            ("any = []", "any can't be []; allowed is a list of at least one ability"),
            ("any = ['']", r#"any can't be [""]; allowed is a list of abilities, which must not"#),
            ("public = false", "public can't be false; allowed is true alone"),
            ("public = 'true'", r#"public can't be "true"; allowed is true alone"#),
            ("path = '/'", "it doesn't say who may pass; allowed is exactly one of all, any and"),
            ("all = []\nany = ['a']", "it has all and any; allowed is exactly one of"),
            ("any = ['a']\npublic = true", "it has any and public; allowed is exactly one of"),
            ("abilites = ['a']", "abilites is not a key of a rule; the keys are host, path, meth"),
            ("listen = '[::1]:1'", "listen is not a key of a rule; the keys are host, path, meth"),
        ] {
            let message =
                load(&format!("[[rules]]\npublic = true\n[[rules]]\n{rule}\n")).unwrap_err();
            let expected = format!("rule 2 in b.toml: {text}");
            assert!(message.starts_with(&expected), "{message}\n{expected}");
        }
        for (text, value) in [("rules = 'x'", "x"), ("rules = ['x']", "x"), ("rules = 1", "1")] {
            let expected =
                format!("rules in b.toml can't be {value:?}; allowed is a table for each rule, ");
            let message = load(text).unwrap_err();
            assert!(message.starts_with(&expected), "{message}");
        }
    }
}
