use serde_json::json;

use crate::support::{EMAIL, INVALID_TOKEN, PASSWORD, Server, start, start_with};
use bearerd::domain::EmailChange;

/// A server on which users change their own emails.
fn start_open() -> Server {
    start_with(|config| config.email_change = EmailChange::Owner)
}

#[test]
fn a_user_changes_their_name_and_needs_the_password_to_change_their_email() {
    let server = start_open();
    let token = server.issue(&["account:write"]);
    let put = |body| server.send_json("PUT", "/api/user", &token, &body);
    let named = put(json!({"name": "Countess", "email": EMAIL}));
    assert_eq!(named.status, 200, "{}", named.body);

    let new = |password: serde_json::Value| {
        let mut body = json!({"name": "Countess", "email": "countess@example.org"});
        if !password.is_null() {
            body["current_password"] = password;
        }
        put(body)
    };
    for password in [json!(null), json!("wrong password")] {
        let answer = new(password);
        assert_eq!(answer.status, 422);
        assert!(answer.json()["errors"]["current_password"].is_array(), "{}", answer.body);
    }
    assert_eq!(new(json!(PASSWORD)).status, 200);
    let shown = server.get("/api/user", &token).json();
    assert_eq!(shown["data"]["email"], "countess@example.org");
    assert_eq!(shown["data"]["name"], "Countess");

    server.create_user("bob@example.org", PASSWORD, &["*"]);
    let taken = put(json!({
        "name": "x", "email": "BOB@example.org", "current_password": PASSWORD,
    }));
    assert_eq!(taken.status, 422);
    assert_eq!(taken.json()["errors"]["email"][0], "The email has already been taken.");
}

#[test]
fn a_new_password_revokes_every_other_token_of_the_user() {
    let server = start();
    let (mine, other) = (server.issue(&["account:write"]), server.issue(&["*"]));
    assert_eq!(server.get("/api/user", &other).status, 200, "now it is cached");
    let put = |current: &str, new: &str| {
        let body = json!({"current_password": current, "password": new});
        server.send_json("PUT", "/api/user/password", &mine, &body)
    };
    assert_eq!(put("wrong password", "a new password").status, 422);
    assert_eq!(put(PASSWORD, "short").status, 422);
    assert_eq!(put(PASSWORD, &"x".repeat(73)).status, 422);
    assert_eq!(server.get("/api/user", &other).status, 200);
    assert_eq!(put(PASSWORD, "a new password").status, 204);
    assert_eq!(server.get("/api/user", &mine).status, 200);
    assert_eq!(server.get("/api/user", &other).status, 401);
    let log_in = |password: &str| {
        server.log_in(json!({"email": EMAIL, "password": password, "device_name": "x"})).status
    };
    assert_eq!([log_in(PASSWORD), log_in("a new password")], [401, 201]);
}

#[test]
fn a_password_that_changes_while_it_is_checked_is_checked_again() {
    let server = start_open();
    let set = |password: &str, cost| {
        let hash = bcrypt::hash(password, cost).unwrap();
        format!("UPDATE users SET password_hash = '{hash}'")
    };
    // The same password hashed with another cost, as a login does, and another password.
    let (same, other) = (set(PASSWORD, 5), set("another password", 4));
    let same_as_before = set(PASSWORD, 4);
    let token = server.issue(&["account:write"]);
    let email = json!({"name": "x", "email": "a@example.org", "current_password": PASSWORD});
    let password = json!({"current_password": PASSWORD, "password": PASSWORD});
    for (path, body, passwords) in [("/api/user/password", &password, 2), ("/api/user", &email, 1)]
    {
        let put = || server.send_json("PUT", path, &token, body);
        let wrong = server.db_change_during(&other, passwords, put);
        assert_eq!(wrong.status, 422, "{path}: {}", wrong.body);
        assert!(wrong.json()["errors"]["current_password"].is_array());
        server.db_execute(&same_as_before);
        let right = server.db_change_during(&same, passwords, put);
        assert!([200, 204].contains(&right.status), "{path}: {}", right.body);
        server.db_execute(&same_as_before);
    }
}

#[test]
fn the_stored_email_and_not_the_cached_one_decides_if_the_password_is_needed() {
    let server = start_open();
    let token = server.issue(&["account:write"]);
    assert_eq!(server.get("/api/user", &token).status, 200, "now it is cached");
    server.db_execute("UPDATE users SET email = 'countess@example.org'");
    let back = json!({"name": "x", "email": EMAIL});
    let answer = server.send_json("PUT", "/api/user", &token, &back);
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(answer.json()["errors"]["current_password"].is_array());
}

#[test]
fn a_user_deleted_during_a_request_gets_invalid_token() {
    let server = start();
    let token = server.issue(&["account:write"]);
    let body = json!({"current_password": PASSWORD, "password": "a new password"});
    let put = || server.send_json("PUT", "/api/user/password", &token, &body);
    let gone = "DELETE FROM tokens; DELETE FROM users";
    server.db_change_during(gone, 2, put).assert_refused(INVALID_TOKEN);
}
