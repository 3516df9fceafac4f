//! Output to a terminal. Rows that another program wrote may contain any characters.

use diesel::connection::SimpleConnection;
use serde_json::Value;

use crate::support::{Place, stderr};

/// Colour codes, a bell, a right-to-left override, a line separator, invisible letters, a line break.
const HOSTILE: &str = "\u{1b}[31mred\u{9b}0m\u{7}\u{202e}fdp.exe\u{2028}\u{200b}\u{3164}\r\nroot";

fn place() -> Place {
    let place = Place::new();
    place.create_ada();
    place.issue();
    let mut file = place.db_connect();
    for column in ["users SET name", "tokens SET name", "users SET abilities"] {
        file.batch_execute(&format!("UPDATE {column} = '{HOSTILE}'")).unwrap();
    }
    file.batch_execute(&format!("UPDATE users SET email = email || '{HOSTILE}'")).unwrap();
    place
}

#[test]
fn control_characters_in_stored_text_do_not_reach_the_terminal() {
    let place = place();
    for (command, lines) in [
        (&["user", "list"][..], 2),
        (&["token", "list"], 2),
        (&["explain", "1", "--ability", "x"], 9),
        (&["user", "list", "--json"], 0),
        (&["token", "list", "--json"], 0),
        (&["explain", "1", "--json"], 0),
    ] {
        let text = place.print(command);
        let disturbs = |c: char| c != '\n' && (c.is_control() || HOSTILE[8..].contains(c));
        let found = text.chars().find(|&c| !c.is_ascii_graphic() && c != ' ' && disturbs(c));
        assert_eq!(found, None, "{command:?}: {text:?}");
        assert!(lines == 0 || text.lines().count() == lines, "{text}");
    }
    let rows: Value = serde_json::from_str(&place.print(&["user", "list", "--json"])).unwrap();
    assert_eq!(rows[0]["name"], HOSTILE, "JSON has the name unchanged");
}

#[test]
fn control_characters_in_refused_arguments_do_not_reach_the_terminal() {
    let place = Place::new();
    for arguments in [
        &["serve", "--listen", "\u{1b}[31m"][..],
        &["user", "list", "--database-url", "sqlite://none/\u{1b}[31m"],
        &["check", "--config", "\u{1b}[31m"],
    ] {
        let output = place.run(arguments);
        assert!(!output.status.success());
        assert!(stderr(&output).contains("\\u{1b}[31m"), "{:?}", stderr(&output));
        assert!(!stderr(&output).contains('\u{1b}'), "{:?}", stderr(&output));
    }
}

#[test]
fn a_name_that_hides_or_reverses_text_is_refused() {
    let place = Place::new();
    for name in ["a\u{202e}b", "a\u{2028}b", "a\u{200b}b", "a\u{1b}b", "a\u{a0}b", "\u{feff}"] {
        let create = ["user", "create", "--email", "ada@example.org", "--name", name];
        let output = place.run_with_input(&create, "correct horse\n");
        assert_eq!(output.status.code(), Some(2), "{name:?}");
        assert!(stderr(&output).contains("--name must not contain U+"), "{}", stderr(&output));
    }
}

#[test]
fn wide_columns_are_cut() {
    let place = Place::new();
    let (wide, long) = ("山".repeat(60), "x".repeat(255));
    for (email, name) in [("ada@example.org", &wide), ("bob@example.org", &long)] {
        let create = ["user", "create", "--email", email, "--name", name];
        assert!(place.run_with_input(&create, "correct horse\n").status.success());
    }
    let table = place.print(&["user", "list"]);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[1].contains(&format!("{}…   *", "山".repeat(19))), "{table}");
    assert!(lines[2].contains(&format!("{}…  *", "x".repeat(39))), "{table}");
    let rows: Value = serde_json::from_str(&place.print(&["user", "list", "--json"])).unwrap();
    assert_eq!(rows[0]["name"], wide.as_str());
}
