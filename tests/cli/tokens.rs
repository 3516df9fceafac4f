use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
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
    place.print(&["token", "revoke", "1"]);
    let rows: Value = serde_json::from_str(&place.print(&["token", "list", "--json"])).unwrap();
    assert_eq!(rows[0]["live"], false);
    assert!(rows[0]["revoked_at"].is_string());
    assert_eq!(rows[1]["live"], true);
    assert_eq!(rows[1]["abilities"], json!(["posts:read"]));
    let others = place.print(&["token", "list", "--email", "bob@example.org", "--json"]);
    assert_eq!(others.trim(), "[]");

    let again = place.run(&["token", "revoke", "1"]);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(stderr(&again), "bearerd: there is no such token\n");
    let nobody = place.run(&["token", "issue", "--email", "bob@example.org", "--name", "x"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert_eq!(stderr(&nobody), "bearerd: there is no such user\n");
    assert_eq!(place.print(&["prune", "--hours", "1"]), "removed 0 tokens: 0 revoked, 0 expired\n");
    assert_eq!(place.print(&["prune", "--hours", "0"]), "removed 1 tokens: 1 revoked, 0 expired\n");
}

#[test]
fn a_running_server_heeds_what_another_process_revokes() {
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
fn a_running_server_heeds_others_while_it_waits_for_their_lock() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let server = place.serve();
    assert_eq!(server.status(&token), 200, "now it is cached, and its use is to be written down");
    let path = place.path().join("bearerd.sqlite").to_string_lossy().into_owned();
    let mut other = SqliteConnection::establish(&path).unwrap();
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
