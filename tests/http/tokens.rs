use bearerd::app;
use bearerd::auth::Actor;
use serde_json::{Value, json};

use crate::support::{EMAIL, INVALID_TOKEN, PASSWORD, Server, start};

fn ids(listing: &Value) -> Vec<i64> {
    listing["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[test]
fn the_list_shows_live_tokens_newest_first_page_by_page() {
    let server = start();
    let tokens: Vec<_> = (0..7).map(|_| server.issue(&["tokens:*", "tokens:write"])).collect();
    let expiring = server.issue_for(EMAIL, &["*"], Some(60));
    server.create_user("bob@example.org", PASSWORD, &["*"]);
    server.issue_for("bob@example.org", &["*"], None);
    assert_eq!(server.delete("/api/tokens/3", &tokens[0]).status, 204);
    server.set_clock(60);
    assert_eq!(server.get("/api/user", &expiring).status, 401);

    let first = server.get("/api/tokens?per_page=4", &tokens[6]).json();
    assert_eq!(ids(&first), [7, 6, 5, 4]);
    assert_eq!(first["data"][0]["current"], true);
    assert_eq!(first["data"][1]["current"], false);
    assert_eq!(
        first["meta"],
        json!({"current_page": 1, "last_page": 2, "per_page": 4, "total": 6})
    );
    assert_eq!(
        first["links"],
        json!({
            "first": "/api/tokens?page=1&per_page=4", "last": "/api/tokens?page=2&per_page=4",
            "prev": null, "next": "/api/tokens?page=2&per_page=4",
        })
    );
    let second = server.get(first["links"]["next"].as_str().unwrap(), &tokens[6]).json();
    assert_eq!(ids(&second), [2, 1]);
    assert_eq!(second["links"]["next"], Value::Null);
    let beyond = server.get("/api/tokens?page=9", &tokens[6]).json();
    assert_eq!(ids(&beyond), [0_i64; 0]);

    for query in ["page=0", "page=x", "per_page=101", "per_page=-1", "page=99999999999999999999"] {
        let answer = server.get(&format!("/api/tokens?{query}"), &tokens[6]);
        assert_eq!(answer.status, 422, "{query}");
    }
}

#[test]
fn a_token_of_another_user_is_not_found() {
    let server = start();
    server.create_user("bob@example.org", PASSWORD, &["*"]);
    let mine = server.issue(&["tokens:write"]);
    let his = server.issue_for("bob@example.org", &["*"], None);
    for id in ["2", "3", "0", "-1", "x", "99999999999999999999"] {
        let answer = server.delete(&format!("/api/tokens/{id}"), &mine);
        assert_eq!(answer.status, 404, "{id}");
        assert_eq!(answer.json()["message"], "The token could not be found.");
    }
    assert_eq!(server.get("/api/user", &his).status, 200);
}

#[test]
fn one_token_revokes_another() {
    let server = start();
    let (one, other) = (server.issue(&["tokens:write"]), server.issue(&["*"]));
    assert_eq!(server.get("/api/user", &other).status, 200, "now it is cached");
    assert_eq!(server.delete("/api/tokens/2", &one).status, 204);
    server.get("/api/user", &other).assert_refused(INVALID_TOKEN);
    assert_eq!(server.delete("/api/tokens/2", &one).status, 404);
}

#[test]
fn revoking_all_tokens_of_a_user_revokes_no_other_users_tokens() {
    let server = start();
    server.create_user("bob@example.org", PASSWORD, &["*"]);
    let his = server.issue_for("bob@example.org", &["*"], None);
    let mine: Vec<_> = (0..3).map(|_| server.issue(&["tokens:write"])).collect();
    for token in &mine {
        assert_eq!(server.get("/api/user", token).status, 200, "now it is cached");
    }
    assert_eq!(server.delete("/api/tokens?except=curent", &mine[0]).status, 422);
    assert_eq!(server.delete("/api/tokens?except=current", &mine[0]).status, 204);
    let statuses: Vec<_> = mine.iter().map(|token| server.get("/api/user", token).status).collect();
    assert_eq!(statuses, [200, 401, 401]);
    assert_eq!(server.delete("/api/tokens", &mine[0]).status, 204);
    assert_eq!(server.get("/api/user", &mine[0]).status, 401);
    assert_eq!(server.get("/api/user", &his).status, 200);
}

fn last_used(server: &Server, id: i64) -> Option<String> {
    app::block_on(server.bearerd.note_uses());
    let tokens = app::block_on(server.auth.tokens_after(0, None)).unwrap();
    let (token, _) = tokens.into_iter().find(|(token, _)| token.id == id).unwrap();
    token.last_used_at.map(|at| at.to_string())
}

#[test]
fn the_last_use_is_stored_once_a_minute_and_a_403_counts_as_a_use() {
    let server = start();
    let token = server.issue(&["posts:read"]);
    assert_eq!(last_used(&server, 1), None);
    server.set_clock(10);
    assert_eq!(server.get("/api/tokens", &token).status, 403);
    assert_eq!(last_used(&server, 1).as_deref(), Some("2026-01-01T00:00:10Z"));
    server.set_clock(69);
    assert_eq!(server.get("/api/user", &token).status, 200);
    assert_eq!(last_used(&server, 1).as_deref(), Some("2026-01-01T00:00:10Z"));
    server.set_clock(70);
    let shown = server.get("/api/tokens/current", &token).json();
    assert_eq!(shown["data"]["last_used_at"], "2026-01-01T00:01:10Z");
    assert_eq!(last_used(&server, 1).as_deref(), Some("2026-01-01T00:01:10Z"));
}

#[test]
fn a_failed_check_does_not_count_as_a_use() {
    let server = start();
    server.create_user("bob@example.org", PASSWORD, &["*"]);
    let expired = server.issue_for(EMAIL, &["*"], Some(60));
    let revoked = server.issue(&["*"]);
    app::block_on(server.auth.revoke(Actor::Operator, 2, None)).unwrap();
    let disabled = server.issue_for("bob@example.org", &["*"], None);
    server.db_execute("UPDATE users SET disabled_at = 1 WHERE email = 'bob@example.org'");
    server.set_clock(60);
    for (id, token) in [(1, expired), (2, revoked), (3, disabled)] {
        server.get("/api/user", &token).assert_refused(INVALID_TOKEN);
        assert_eq!(last_used(&server, id), None, "token {id}");
    }
}

#[test]
fn a_token_can_issue_another_with_no_more_abilities_than_it_has() {
    let server = start();
    server.create_user("bob@example.org", PASSWORD, &["tokens:*", "posts:*"]);
    let issuer = server.issue_for("bob@example.org", &["tokens:write", "posts:*"], None);
    let issue = |body: Value| server.send_json("POST", "/api/tokens", &issuer, &body);
    let answer = issue(json!({"device_name": "ci", "abilities": ["posts:read"], "expires_in": 60}));
    let made = answer.json();
    assert_eq!(made["access_token"]["abilities"], json!(["posts:read"]));
    assert_eq!(made["access_token"]["current"], false);
    assert_eq!(made["user"]["email"], "bob@example.org");
    assert_eq!(server.get("/api/user", &answer.token()).status, 200);

    let everything = issue(json!({"device_name": "ci"})).json();
    assert_eq!(everything["access_token"]["abilities"], json!(["tokens:write", "posts:*"]));
    for abilities in [json!(["*"]), json!(["tokens:read"]), json!(["posts:read", "users:read"])] {
        let answer = issue(json!({"device_name": "ci", "abilities": abilities}));
        assert_eq!(answer.status, 422, "{abilities}");
    }
    assert_eq!(issue(json!({"device_name": "ci", "password": "x"})).status, 422);

    server.db_execute("UPDATE users SET abilities = 'tokens:write' WHERE id = 2");
    let shrunk = issue(json!({"device_name": "ci", "abilities": ["posts:read"]}));
    assert_eq!(shrunk.status, 422, "the owner's abilities at this moment count");
}

#[test]
fn abilities_must_be_named_if_all_are_too_many_for_one_token() {
    let server = start();
    let names = |stem: &str| (0..98).map(|i| format!("{stem}:{i}")).collect::<Vec<_>>().join(" ");
    let issuer = server.issue(&["*"]);
    // Both have 98 abilities of the user, 98 of the token, and one that both name.
    server.db_execute(&format!(
        "UPDATE users SET abilities = 'tokens:write a:* {}';
         UPDATE tokens SET abilities = 'tokens:write b:* {}'",
        names("b"),
        names("a"),
    ));
    let issue = |body: Value| server.send_json("POST", "/api/tokens", &issuer, &body);
    let answer = issue(json!({"device_name": "ci"}));
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert_eq!(
        answer.json()["errors"]["abilities"][0],
        "The abilities field is required: of all that may be given, name at most 100."
    );
    assert_eq!(issue(json!({"device_name": "ci", "abilities": ["a:1", "b:2"]})).status, 201);
}

#[test]
fn issuing_a_token_needs_tokens_write() {
    let server = start();
    let body = json!({"device_name": "ci"});
    let reader = server.issue(&["tokens:read"]);
    assert_eq!(server.send_json("POST", "/api/tokens", &reader, &body).status, 403);
    let answer = server.send_json("POST", "/api/tokens", "bd_nonsense", &body);
    answer.assert_refused(INVALID_TOKEN);
    let login = server.log_in(body);
    assert_eq!(login.status, 422, "without a header it is a login");
    let whole = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x"});
    let answer = server.send_json("POST", "/api/tokens", "bd_nonsense", &whole);
    assert_eq!(answer.status, 201, "with an email it is a login too");
}

#[test]
fn a_token_is_renamed() {
    let server = start();
    server.create_user("bob@example.org", PASSWORD, &["*"]);
    let (mine, _his) =
        (server.issue(&["tokens:write"]), server.issue_for("bob@example.org", &["*"], None));
    let rename = |id: &str| {
        let body = json!({"device_name": "new laptop"});
        server.send_json("PATCH", &format!("/api/tokens/{id}"), &mine, &body)
    };
    assert_eq!(server.get("/api/tokens/current", &mine).json()["data"]["name"], "test");
    let answer = rename("1").json();
    assert_eq!(answer["data"]["name"], "new laptop");
    assert_eq!(answer["data"]["current"], true);
    assert_eq!(server.get("/api/tokens/current", &mine).json()["data"]["name"], "new laptop");
    assert_eq!([rename("2").status, rename("9").status, rename("x").status], [404; 3]);
}

#[test]
fn a_whole_number_can_have_a_decimal_point() {
    let server = start();
    let token = server.issue(&["tokens:write"]);
    let issue = |seconds: f64| {
        let body = json!({"device_name": "ci", "expires_in": seconds});
        server.send_json("POST", "/api/tokens", &token, &body)
    };
    let issued = issue(60.0);
    assert_eq!(issued.status, 201, "{}", issued.body);
    assert_eq!(issued.json()["access_token"]["expires_at"], "2026-01-01T00:01:00Z");
    assert_eq!([issue(60.5).status, issue(0.0).status, issue(1e300).status], [422, 422, 422]);
}
