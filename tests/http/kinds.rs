//! The kinds of tokens: what each can do, and which tokens are revoked with the one that issued them.

use bearerd::app;
use bearerd::auth::Actor;
use bearerd::domain::Lifetime;
use serde_json::{Value, json};

use crate::support::{EMAIL, INVALID_TOKEN, PASSWORD, Server, set_rules, start, start_with};

/// Has a token issue another one. A null for the abilities or the lifetime leaves the field out.
fn issue(server: &Server, by: &str, abilities: Value, expires_in: Value) -> (u16, Value) {
    let mut body =
        json!({"device_name": "child", "abilities": abilities, "expires_in": expires_in});
    body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let answer = server.send_json("POST", "/api/tokens", by, &body);
    (answer.status, answer.json())
}

fn child(server: &Server, by: &str, abilities: &[&str]) -> String {
    let (status, body) = issue(server, by, json!(abilities), json!(null));
    assert_eq!(status, 201, "{body}");
    body["token"].as_str().unwrap().to_owned()
}

/// A login token for Ada with all abilities, a personal token that it issued, and an operator token.
fn one_of_each_kind(server: &Server, abilities: &[&str]) -> [(&'static str, String); 3] {
    let login = server.log_in_with(&["*"]);
    let personal = child(server, &login, abilities);
    [("login", login), ("personal", personal), ("operator", server.issue(abilities))]
}

#[test]
fn the_kind_of_a_token_is_shown() {
    let server = start();
    let tokens = one_of_each_kind(&server, &["*"]);
    for (kind, token) in &tokens {
        let current = server.get("/api/tokens/current", token).json();
        assert_eq!(current["data"]["kind"], *kind);
        assert_eq!(current["data"]["parent_id"], Value::Null);
    }
    let listed = server.get("/api/tokens", &tokens[0].1).json();
    let kinds: Vec<_> = listed["data"].as_array().unwrap().iter().map(|row| &row["kind"]).collect();
    assert_eq!(kinds, ["operator", "personal", "login"]);
}

#[test]
fn a_wildcard_of_a_personal_or_operator_token_opens_no_reserved_route() {
    let server = start();
    server.db_execute("UPDATE users SET admin = 1");
    let wildcards = ["*", "tokens:*", "account:*", "events:*", "admin:*"];
    for (kind, token) in one_of_each_kind(&server, &wildcards) {
        let may = |status: u16| (status == 403) != (kind == "login");
        let password = json!({"current_password": "wrong", "password": "a new password"});
        for (method, path, body) in [
            ("POST", "/api/tokens", json!({"device_name": "x"})),
            ("PATCH", "/api/tokens/9", json!({"device_name": "x"})),
            ("DELETE", "/api/tokens/999", json!({})),
            ("PUT", "/api/user", json!({"name": "x", "email": EMAIL})),
            ("PUT", "/api/user/password", password),
            ("GET", "/api/users", json!({})),
            ("POST", "/api/explain", json!({})),
        ] {
            let answer = server.send_json(method, path, &token, &body);
            assert!(may(answer.status), "{kind} {method} {path}: {}", answer.body);
        }
        let header = format!("Bearer {token}");
        let form = server.send_form("/api/introspect", &[("Authorization", &header)], "token=x");
        assert!(may(form.status), "{kind}: {}", form.body);
        assert_eq!(server.get("/api/tokens", &token).status, 200, "{kind}: nothing reserved");
    }
}

#[test]
fn a_named_reserved_ability_counts_in_tokens_of_every_kind() {
    let server = start();
    for (kind, token) in one_of_each_kind(&server, &["tokens:write"]) {
        assert_eq!(issue(&server, &token, json!([]), json!(null)).0, 201, "{kind}");
    }
}

#[test]
fn verify_and_explain_match_wildcards_by_the_kind_of_the_token() {
    let server = start_with(|config| {
        set_rules(config, "x-forwarded", "[[rules]]\npath = \"/admin/**\"\nall = [\"admin\"]");
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let admin = server.issue_admin();
    for (kind, token) in one_of_each_kind(&server, &["*"]) {
        let expected = if kind == "login" { 200 } else { 403 };
        for query in ["ability=admin", "any=events:read&any=introspect", "ability=tokens:write"] {
            let answer = server.get(&format!("/api/verify?{query}"), &token);
            assert_eq!(answer.status, expected, "{kind} {query}");
        }
        let header = format!("Bearer {token}");
        let named = [
            ("Authorization", header.as_str()),
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Host", "x"),
            ("X-Forwarded-Uri", "/admin/x"),
        ];
        assert_eq!(server.send("GET", "/api/verify", &named, None).status, expected, "{kind}");
        let body = json!({"token": token, "uri": "/admin/x"});
        let explained = server.send_json("POST", "/api/explain", &admin, &body).json();
        assert_eq!(explained["data"]["status"], expected, "{explained}");
        let text = explained.to_string();
        assert!(text.contains(&format!("{kind} token ")), "{text}");
        assert_eq!(text.contains("issue a token that names them"), kind != "login", "{text}");
    }
}

#[test]
fn a_reserved_ability_that_only_a_wildcard_covers_cannot_be_passed_on() {
    let server = start();
    let operator = server.issue(&["*", "tokens:write"]);
    let (status, body) = issue(&server, &operator, json!(["a", "admin"]), json!(null));
    assert_eq!(status, 422);
    let text = "The abilities field asks for more than is held: admin.";
    assert_eq!(body["errors"]["abilities"][0], text);
    // A wildcard may be passed on: it gives nothing reserved.
    let token = child(&server, &operator, &["*", "tokens:*"]);
    assert_eq!(server.get("/api/verify?ability=tokens:write", &token).status, 403);
    assert_eq!(server.get("/api/verify?ability=tokens:read", &token).status, 200);
}

#[test]
fn a_wildcard_does_not_cover_a_reserved_ability_that_its_owner_names() {
    let server = start();
    server.create_user("bob@example.org", PASSWORD, &["tokens:write", "posts:*"]);
    let token = server.issue_for("bob@example.org", &["posts:*"], None);
    server.db_execute("UPDATE tokens SET abilities = '*'");
    let verify = |ability: &str| server.get(&format!("/api/verify?ability={ability}"), &token);
    assert_eq!([verify("posts:read").status, verify("tokens:write").status], [200, 403]);
    assert_eq!(verify("posts:read").header("x-auth-abilities"), Some("posts:*"));
}

#[test]
fn tokens_issued_by_a_login_token_survive_its_logout() {
    let server = start();
    let login = server.log_in_with(&["*"]);
    let token = child(&server, &login, &["posts:read"]);
    assert_eq!(server.delete("/api/tokens/current", &login).status, 204);
    assert_eq!(server.get("/api/user", &token).status, 200);
}

#[test]
fn tokens_issued_by_other_tokens_are_revoked_with_them() {
    type Revoke = fn(&Server, &str, i64);
    // How many tokens are revoked: 5 with the first ancestor, 4 without it.
    let ways: [(&str, u64, Revoke); 6] = [
        ("logging out", 4, |server, parent, _| {
            assert_eq!(server.delete("/api/tokens/current", parent).status, 204);
        }),
        ("its id", 4, |server, _, id| {
            let login = server.log_in_with(&["*"]);
            assert_eq!(server.delete(&format!("/api/tokens/{id}"), &login).status, 204);
        }),
        ("an administrator", 4, |server, _, id| {
            let admin = server.issue_admin();
            assert_eq!(server.delete(&format!("/api/users/1/tokens/{id}"), &admin).status, 204);
        }),
        ("its string", 4, |server, parent, _| {
            let header = format!("Bearer {}", server.issue(&[]));
            let form = format!("token={parent}");
            let answer = server.send_form("/api/revoke", &[("Authorization", &header)], &form);
            assert_eq!(answer.status, 200);
        }),
        ("all of the user's but another", 5, |server, _, _| {
            let login = server.log_in_with(&["*"]);
            assert_eq!(server.delete("/api/tokens?except=current", &login).status, 204);
        }),
        ("a new password", 5, |server, _, _| {
            let login = server.log_in_with(&["*"]);
            let body = json!({"current_password": PASSWORD, "password": "a new password"});
            assert_eq!(server.send_json("PUT", "/api/user/password", &login, &body).status, 204);
        }),
    ];
    for (way, dead, revoke) in ways {
        let server = start();
        let root = server.issue(&["*", "tokens:write"]);
        let parent = child(&server, &root, &["*", "tokens:write"]);
        let first = child(&server, &parent, &["tokens:write"]);
        let tokens =
            [child(&server, &parent, &["a"]), child(&server, &first, &["tokens:write"]), first];
        for token in &tokens {
            assert_eq!(server.get("/api/user", token).status, 200, "now it is cached");
        }
        let shown = server.get("/api/tokens/current", &tokens[0]).json();
        assert_eq!(shown["data"]["parent_id"], 2);
        let before = server.metric(r#"bearerd_token_events_total{event="revoked"}"#);
        revoke(&server, &parent, 2);
        for token in tokens.iter().chain([&parent]) {
            server.get("/api/user", token).assert_refused(INVALID_TOKEN);
        }
        let revoked = server.metric(r#"bearerd_token_events_total{event="revoked"}"#) - before;
        assert_eq!(revoked, dead, "{way}");
        assert_eq!(server.get("/api/user", &root).status == 200, dead == 4, "{way}");
    }
}

#[test]
fn a_bound_token_that_revokes_all_others_is_revoked_with_its_parent() {
    let server = start();
    let parent = server.issue(&["*", "tokens:write", "account:write"]);
    let token = child(&server, &parent, &["tokens:write"]);
    assert_eq!(server.delete("/api/tokens?except=current", &token).status, 204);
    server.get("/api/user", &token).assert_refused(INVALID_TOKEN);

    let parent = server.issue(&["tokens:write", "account:write"]);
    let token = child(&server, &parent, &["account:write"]);
    let body = json!({"current_password": PASSWORD, "password": "a new password"});
    assert_eq!(server.send_json("PUT", "/api/user/password", &token, &body).status, 204);
    server.get("/api/user", &token).assert_refused(INVALID_TOKEN);
}

#[test]
fn a_token_that_is_revoked_last_counts_none_that_were_revoked_before() {
    let server = start();
    let parent = server.issue(&["tokens:write", "posts:read"]);
    child(&server, &parent, &["posts:read"]);
    assert_eq!(server.delete("/api/tokens?except=current", &parent).status, 204);
    let revoked = server.auth.revoke(Actor::Operator, 1, None);
    assert_eq!(app::block_on(revoked).unwrap(), 1);
}

#[test]
fn a_bound_token_never_outlives_its_parent() {
    let server = start_with(|config| config.token_ttl = Lifetime::seconds(3600));
    let parent = server.issue_for(EMAIL, &["tokens:write"], Some(60));
    server.set_clock(20);
    let (status, body) = issue(&server, &parent, json!([]), json!(41));
    assert_eq!(status, 422);
    assert_eq!(
        body["errors"]["expires_in"][0],
        "The expires_in field must not be greater than 40: the token that issues this one ends then."
    );
    let (_, asked) = issue(&server, &parent, json!([]), json!(40));
    assert_eq!(asked["access_token"]["expires_at"], "2026-01-01T00:01:00Z");
    let (_, unasked) = issue(&server, &parent, json!([]), json!(null));
    assert_eq!(unasked["access_token"]["expires_at"], "2026-01-01T00:01:00Z");

    let parent = server.issue(&["tokens:write"]);
    server.set_clock(620);
    let (status, body) = issue(&server, &parent, json!([]), json!(86_400));
    assert_eq!(status, 422, "{body}");
    assert!(body["errors"]["expires_in"][0].as_str().unwrap().contains("than 3000:"), "{body}");
    let (_, unasked) = issue(&server, &parent, json!([]), json!(null));
    assert_eq!(unasked["access_token"]["expires_at"], "2026-01-01T01:00:20Z", "by token_ttl");

    let login = server.log_in_with(&["*"]);
    assert_eq!(issue(&server, &login, json!([]), json!(86_400)).0, 201, "a login binds nothing");
}

#[test]
fn after_a_lower_token_ttl_a_bound_token_still_expires_with_its_parent() {
    let server = start_with(|config| config.token_ttl = Lifetime::NEVER);
    let parent = server.issue(&["tokens:write", "tokens:read"]);
    server.set_clock(50);
    let token = child(&server, &parent, &["tokens:write", "tokens:read"]);
    let server = server.restart(|config| config.token_ttl = Lifetime::seconds(60));
    let grandchild = child(&server, &token, &["tokens:read"]);
    server.set_clock(59);
    assert_eq!(server.get("/api/tokens", &grandchild).json()["meta"]["total"], 3);
    server.set_clock(60);
    for token in [&parent, &token, &grandchild] {
        server.get("/api/user", token).assert_refused(INVALID_TOKEN);
    }
    let login = server.log_in_with(&["*"]);
    assert_eq!(server.get("/api/tokens", &login).json()["meta"]["total"], 1);
}

#[test]
fn a_bound_token_is_deleted_with_its_parent() {
    let server = start_with(|config| config.token_ttl = Lifetime::NEVER);
    let parent = server.issue(&["tokens:write"]);
    server.set_clock(50);
    let token = child(&server, &parent, &["tokens:write"]);
    let grandchild = child(&server, &token, &[]);
    let server = server.restart(|config| config.token_ttl = Lifetime::seconds(60));
    server.set_clock(60 + 24 * 60 * 60);
    // The sweep at the start may have run before or after the clock was set.
    app::block_on(server.bearerd.sweep()).unwrap();
    let rows = server.db_text("CAST(count(*) AS TEXT)", "tokens");
    assert_eq!(rows, "0", "the bound tokens are removed too");
    let server = server.restart(|config| config.token_ttl = Lifetime::NEVER);
    for token in [&parent, &token, &grandchild] {
        server.get("/api/user", token).assert_refused(INVALID_TOKEN);
    }
}
