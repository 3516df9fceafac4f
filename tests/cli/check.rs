use std::fs;
use std::os::unix::fs::PermissionsExt;

use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use crate::support::{Place, db_damage, stderr};

#[test]
fn check_shows_the_value_and_the_source_of_each_setting() {
    let place = Place::new();
    place.create_ada();
    fs::write(place.path().join("bearerd.toml"), "retention = \"5h\"\nlisten = \"[::1]:5\"\n")
        .unwrap();
    let arguments = ["check", "--listen", "[::1]:7"];
    let report = place.print(&[&arguments[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    let row = |key: &str| {
        let rows = report["settings"].as_array().unwrap();
        rows.iter().find(|row| row["setting"] == key).unwrap().clone()
    };
    for (setting, value, source, place) in [
        ("token_ttl", "30d", "default", Value::Null),
        ("retention", "5h", "file", json!("bearerd.toml")),
        ("bcrypt_cost", "4", "environment", json!("BEARERD_BCRYPT_COST")),
        ("listen", "[::1]:7", "flag", json!("--listen")),
    ] {
        let expected =
            json!({"setting": setting, "value": value, "source": source, "place": place});
        assert_eq!(row(setting), expected);
    }
    let text = place.print(&arguments);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in ["listen [::1]:7 flag --listen", "retention 5h file bearerd.toml"] {
        assert!(text.lines().any(|found| words(found) == line), "{text}");
    }
    assert!(text.ends_with("the database bearerd.sqlite is intact\n"), "{text}");
}

#[test]
fn check_warns_about_unsafe_settings_and_file_modes() {
    let place = Place::new();
    place.create_ada();
    let file = place.path().join("bearerd.sqlite");
    let warnings = |arguments: &[&str]| {
        let report = place.print(&[&["check", "--json"][..], arguments].concat());
        let report: Value = serde_json::from_str(&report).unwrap();
        let warnings = report["warnings"].as_array().unwrap();
        warnings.iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&["--bcrypt-cost", "12"]), [""; 0]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let all = warnings(&["--listen", "0.0.0.0:8080"]);
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0].starts_with("bcrypt_cost is 4: "));
    assert!(all[1].starts_with("listen is 0.0.0.0:8080: "));
    assert!(all[2].starts_with("bearerd.sqlite has the mode 640: "));
}

#[test]
fn check_finds_a_damaged_database() {
    let place = Place::new();
    place.create_ada();
    place.issue();
    assert_eq!(place.check("bearerd.sqlite").0, Some(0));
    db_damage(&place, "tokens");
    let (code, report) = place.check("bearerd.sqlite");
    assert_eq!(code, Some(1));
    assert!(!report["database"]["faults"].as_array().unwrap().is_empty(), "{report}");
    let output = place.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the database bearerd.sqlite is damaged"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\nfault: "));
}

#[test]
fn check_finds_counts_and_owners_that_do_not_match_the_tokens() {
    let place = Place::new();
    place.create_ada();
    place.issue();
    let mut file = place.db_connect();
    let faults = || place.check("bearerd.sqlite").1["database"]["faults"].clone();
    assert_eq!(faults(), json!([]));
    file.batch_execute("DELETE FROM token_counts").unwrap();
    let fault = "the user 1 has 1 unrevoked tokens, and token_counts says 0";
    assert_eq!(faults(), json!([fault]));
    // A deleted user's token stays until the sweeper deletes it.
    file.batch_execute("PRAGMA foreign_keys = OFF; DELETE FROM users").unwrap();
    assert_eq!(faults(), json!([]));
    file.batch_execute("DELETE FROM bulk_revocations").unwrap();
    let fault = "the token 1 belongs to the user 1, who is missing";
    assert_eq!(faults(), json!([fault]));
}

#[test]
fn check_shows_the_settings_even_if_the_database_cannot_be_opened() {
    let place = Place::new();
    fs::write(place.path().join("text"), "no database, but long enough. ".repeat(30)).unwrap();
    let (code, report) = place.check("text");
    assert_eq!(code, Some(1));
    assert_eq!(report["settings"][0]["value"], "sqlite://text");
    assert!(report["database"]["faults"][0].as_str().unwrap().contains("not a SQLite database"));
}

#[test]
fn check_before_the_first_start_creates_nothing() {
    let place = Place::new();
    let text = place.print(&["check"]);
    assert!(
        text.ends_with(
            "the database bearerd.sqlite does not exist yet; `bearerd serve` creates it\n"
        ),
        "{text}"
    );
    assert_eq!(place.file_names(), [""; 0]);
}
