use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use crate::support::{Place, stderr};

#[test]
fn a_token_is_issued_listed_and_revoked() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    assert_eq!(token.len(), 51);
    let scoped = ["--ability", "posts:read", "--expires-in", "90d"];
    let issue = ["token", "issue", "--email", "ada@example.org", "--name", "scoped"];
    place.print(&[&issue[..], &scoped].concat());
    assert_eq!(place.print(&["token", "revoke", "1"]), "token 1 revoked\n");
    let rows: Value = serde_json::from_str(&place.print(&["token", "list", "--json"])).unwrap();
    assert_eq!(rows[0]["live"], false);
    assert!(rows[0]["revoked_at"].is_string());
    assert_eq!(rows[1]["live"], true);
    assert_eq!(rows[1]["abilities"], json!(["posts:read"]));
    let others = place.print(&["token", "list", "--email", "bob@example.org", "--json"]);
    assert_eq!(others.trim(), "[]");

    let again = place.run(&["token", "revoke", "1"]);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(
        stderr(&again),
        "bearerd: there is no token with the id 1, or it is revoked already; `bearerd token list` shows \
         all tokens\n"
    );
    let nobody = place.run(&["token", "issue", "--email", "bob@example.org", "--name", "x"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert_eq!(
        stderr(&nobody),
        "bearerd: there is no user with the email bob@example.org; `bearerd user list` shows all users\n"
    );
}

/// Adds `count` tokens for the user with this id.
fn db_insert_tokens(place: &Place, user: i64, count: i64) {
    let insert = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO tokens (user_id, name, digest, abilities, created_at)
         SELECT {user}, 'laptop', randomblob(32), '*', unixepoch() FROM n"
    );
    place.db_connect().batch_execute(&insert).unwrap();
}

#[test]
fn a_list_of_several_pages_is_complete_and_in_order() {
    let place = Place::new();
    place.create_ada();
    let create = ["user", "create", "--email", "bob@example.org", "--name", "Bob"];
    assert!(place.run_with_input(&create, "another password\n").status.success());
    for user in [1, 2, 1, 2] {
        db_insert_tokens(&place, user, 1200);
    }
    let ids = |arguments: &[&str]| -> (Vec<i64>, Vec<i64>) {
        let json = [&["token", "list", "--json"], arguments].concat();
        let rows: Vec<Value> = serde_json::from_str(&place.print(&json)).unwrap();
        let table = place.print(&[&["token", "list"], arguments].concat());
        let mut lines = table.lines();
        assert!(
            lines.next().unwrap().starts_with("ID    EMAIL            NAME    KIND   "),
            "{table}"
        );
        (
            rows.iter().map(|row| row["id"].as_i64().unwrap()).collect(),
            lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect(),
        )
    };
    let all: Vec<_> = (1..=4800).collect();
    assert_eq!(ids(&[]), (all.clone(), all));
    let bobs: Vec<_> = (1201..=2400).chain(3601..=4800).collect();
    assert_eq!(ids(&["--email", "bob@example.org"]), (bobs.clone(), bobs));
}

/// The peak memory of a command, in KiB. It is measured after the first lines, while the command waits
/// because nobody reads the rest.
#[cfg(target_os = "linux")]
fn peak_memory_of_blocked(place: &Place, arguments: &[&str]) -> u64 {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let mut child = place.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().take(10).all(|line| line.is_ok()));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_long_list_needs_no_more_memory_than_a_short_one() {
    let place = Place::new();
    place.create_ada();
    db_insert_tokens(&place, 1, 2_000);
    for arguments in [&["token", "list"][..], &["token", "list", "--json"]] {
        let short = peak_memory_of_blocked(&place, arguments);
        db_insert_tokens(&place, 1, 50_000);
        let long = peak_memory_of_blocked(&place, arguments);
        assert!(long < short + 8 * 1024, "{arguments:?}: {short} and {long} KiB");
    }
}

#[test]
fn a_running_server_picks_up_revocations_by_another_process() {
    let place = Place::new();
    place.create_ada();
    let server = place.serve();
    let token = place.issue();
    assert_eq!(server.status(&token), 200, "issued beside the server");
    assert_eq!(server.status(&token), 200, "now it is cached");
    place.print(&["token", "revoke", "1"]);
    server.await_status(&token, 401);
}

#[test]
fn a_running_server_picks_up_changes_while_it_waits_for_the_lock() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let server = place.serve();
    assert_eq!(server.status(&token), 200, "now it is cached, and its use must be stored");
    let mut other = place.db_connect();
    other
        .batch_execute(
            "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE; UPDATE tokens SET revoked_at = 1;",
        )
        .unwrap();
    // A login is now waiting for the lock.
    let url = format!("{}/api/tokens", server.url);
    let login = std::thread::spawn(move || {
        let body = json!({
            "email": "ada@example.org", "password": "correct horse", "device_name": "x",
        });
        ureq::post(url).send_json(body).map(|answer| answer.status().as_u16())
    });
    other.batch_execute("COMMIT; BEGIN IMMEDIATE;").unwrap();
    server.await_status(&token, 401);
    other.batch_execute("ROLLBACK;").unwrap();
    assert_eq!(login.join().unwrap().unwrap(), 201);
}

#[test]
fn sqlite_refuses_a_token_that_no_lookup_could_find() {
    let place = Place::new();
    place.create_ada();
    place.issue();
    let mut file = place.db_connect();
    for (digest, fault) in [
        ("(SELECT digest FROM tokens)", "there already"),
        ("(SELECT hex(digest) FROM tokens)", "32 bytes"),
        ("randomblob(31)", "32 bytes"),
    ] {
        // OR IGNORE and OR REPLACE must not hide that the digest is taken.
        for insert in ["INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE"] {
            let error = file
                .batch_execute(&format!(
                    "{insert} INTO tokens (user_id, name, digest, abilities, created_at)
                     VALUES (1, 'by hand', {digest}, '*', 0)"
                ))
                .unwrap_err();
            assert!(error.to_string().contains(fault), "{insert} {digest}: {error}");
        }
    }
}
