use std::fs;

use bearerd::domain::TokenHash;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Binary, Text};
use serde_json::Value;

use crate::support::{Place, count_accepted, stderr};

#[test]
fn migrate_brings_the_database_up_to_date() {
    let place = Place::new();
    for _ in 0..2 {
        assert_eq!(place.print(&["migrate"]), "the database bearerd.sqlite is up to date\n");
    }
    assert_eq!(place.file_names(), ["bearerd.sqlite"]);
}

/// Creates a database of the first release, with a user for each of these emails.
fn first_release(place: &Place, emails: &[&str]) -> SqliteConnection {
    const FIRST: &str = "2026-11-23-000000_create_users_and_tokens";
    let tables = fs::read_to_string(format!("migrations/sqlite/{FIRST}/up.sql")).unwrap();
    let mut file = place.db_connect();
    file.batch_execute(&tables).unwrap();
    file.batch_execute(
        "CREATE TABLE __diesel_schema_migrations
             (version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT 0);
         INSERT INTO __diesel_schema_migrations (version) VALUES ('20261123000000')",
    )
    .unwrap();
    for email in emails {
        diesel::sql_query(
            "INSERT INTO users (name, email, password_hash, abilities, created_at, updated_at)
                 VALUES ('Ada', ?, '', '*', 0, 0)",
        )
        .bind::<Text, _>(email)
        .execute(&mut file)
        .unwrap();
    }
    file
}

#[test]
fn accounts_of_the_first_release_are_found_by_their_emails() {
    let place = Place::new();
    let emails = [
        "Ada@example.org",
        "JÖRG@example.org",
        "jörg@example.org",
        "u@xn--bcher-kva.example",
        "ｒ@ｘ.org",
    ];
    drop(first_release(&place, &emails));
    for (given, id) in [
        ("ada@EXAMPLE.org", 1),
        ("JÖRG@example.org", 2),
        ("jörg@example.org", 3),
        ("jo\u{308}rg@example.org", 2),
        ("u@bücher.example", 4),
        ("ｒ@ｘ.org", 5),
    ] {
        let user = place.print(&["user", "show", given, "--json"]);
        let user: Value = serde_json::from_str(&user).unwrap();
        assert_eq!(user["id"], id, "{given}");
    }
    for taken in ["ADA@example.org", "JöRG@example.org", "u@bücher.example"] {
        let create = ["user", "create", "--name", "x", "--email", taken];
        let output = place.run_with_input(&create, "correct horse\n");
        assert_eq!(stderr(&output), "bearerd: The email has already been taken.\n", "{taken}");
    }
}

/// The first release stored digests in another place, so a migration must move them.
#[test]
fn tokens_of_the_first_release_still_work() {
    let place = Place::new();
    let mut file = first_release(&place, &["ada@example.org"]);
    let tokens: Vec<_> = (0..3).map(|i| format!("old_{i}")).collect();
    for token in &tokens {
        diesel::sql_query(
            "INSERT INTO tokens (user_id, name, digest, abilities, created_at)
             VALUES (1, 'laptop', ?, '*', strftime('%s'))",
        )
        .bind::<Binary, _>(TokenHash::of(token.as_bytes()).as_bytes().as_slice())
        .execute(&mut file)
        .unwrap();
    }
    drop(file);
    assert_eq!(count_accepted(&place.config("bearerd.sqlite"), &tokens), 3);
}

#[test]
fn every_command_refuses_a_newer_database_and_leaves_it_as_it_is() {
    let place = Place::new();
    place.create_ada();
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000');
        ALTER TABLE users ADD COLUMN later";
    place.db_connect().batch_execute(newer).unwrap();
    let before = fs::read(place.path().join("bearerd.sqlite")).unwrap();
    for command in [
        "serve --listen 127.0.0.1:0",
        "migrate",
        "check",
        "backup copy.sqlite",
        "prune",
        "explain 1",
        "user create --email bob@example.org --name Bob",
        "user list",
        "user show ada@example.org",
        "user enable ada@example.org",
        "user disable ada@example.org",
        "user password ada@example.org",
        "user abilities ada@example.org",
        "user delete ada@example.org",
        "token issue --email ada@example.org --name ci",
        "token list",
        "token revoke 1",
    ] {
        let arguments: Vec<_> = command.split(' ').collect();
        let output = place.run_with_input(&arguments, "correct horse\n");
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(stderr(&output).contains("is newer than this program"), "{command}");
        assert_eq!(place.file_names(), ["bearerd.sqlite"], "{command}");
    }
    assert!(before == fs::read(place.path().join("bearerd.sqlite")).unwrap(), "it was changed");
}
