//! The limits on the number of tokens of a user, and on the tokens that bearers issue for a user.

use bearerd::app;
use bearerd::config::Config;
use bearerd::domain::Lifetime;
use serde_json::{Value, json};

use crate::support::{EMAIL, INVALID_TOKEN, PASSWORD, Server, start, start_with};

fn start_with_quota_of_three() -> Server {
    start_with(|config: &mut Config| config.max_tokens_per_user = Some(3))
}

fn status(server: &Server, token: &str) -> u16 {
    server.get("/api/user", token).status
}

/// Has a token issue another one. Returns the status and the body.
fn issue(server: &Server, by: &str) -> (u16, Value) {
    let body = json!({"device_name": "child", "abilities": []});
    let answer = server.send_json("POST", "/api/tokens", by, &body);
    (answer.status, answer.json())
}

#[test]
fn a_login_beyond_the_quota_revokes_the_least_recently_used_login_token() {
    let server = start_with_quota_of_three();
    let tokens: Vec<_> = (0..3)
        .map(|i| {
            server.set_clock(i);
            server.log_in_with(&["*"])
        })
        .collect();
    server.create_user("bob@example.org", PASSWORD, &["*"]);
    let his = server.issue_for("bob@example.org", &["*"], None);
    server.set_clock(10);
    assert_eq!(status(&server, &tokens[0]), 200, "the oldest is in use");
    assert_eq!(status(&server, &tokens[2]), 200);
    app::block_on(server.bearerd.note_uses());
    let before = server.metric(r#"bearerd_token_events_total{event="revoked"}"#);
    let fourth = server.log_in_with(&["*"]);
    server.get("/api/user", &tokens[1]).assert_refused(INVALID_TOKEN);
    for token in [&tokens[0], &tokens[2], &fourth, &his] {
        assert_eq!(status(&server, token), 200);
    }
    assert_eq!(server.metric(r#"bearerd_token_events_total{event="revoked"}"#), before + 1);
    // A cached token is revoked at once, too. These tokens have a lifetime of their own.
    let server = start_with_quota_of_three();
    let body = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x", "expires_in": 60});
    let tokens: Vec<_> = (0..3).map(|_| server.log_in(body.clone()).token()).collect();
    assert_eq!(status(&server, &tokens[0]), 200, "now it is cached");
    server.log_in_with(&["*"]);
    assert_eq!(status(&server, &tokens[0]), 401, "of equal ones the first");
    assert_eq!([status(&server, &tokens[1]), status(&server, &tokens[2])], [200, 200]);
}

#[test]
fn issuing_any_other_token_beyond_the_quota_is_refused() {
    let server = start_with_quota_of_three();
    let (first, second) = (server.log_in_with(&["*"]), server.log_in_with(&["*"]));
    assert_eq!(issue(&server, &first).0, 201);
    let (refused, body) = issue(&server, &first);
    assert_eq!(refused, 422);
    let text =
        "The user has 3 live tokens, the most that max_tokens_per_user allows: revoke one first.";
    assert_eq!(body["errors"]["tokens"][0], text);
    let issued = server.try_issue(&["a"]);
    assert!(issued.unwrap_err().to_string().contains("max_tokens_per_user"));
    assert_eq!(server.delete("/api/tokens/current", &second).status, 204);
    assert_eq!(issue(&server, &first).0, 201, "one that is revoked makes room");
}

#[test]
fn a_user_whose_quota_is_full_of_other_tokens_can_log_in_once() {
    let server = start_with_quota_of_three();
    for _ in 0..3 {
        server.issue(&["a"]);
    }
    let first = server.log_in_with(&["*"]);
    assert_eq!(status(&server, &first), 200);
    let second = server.log_in_with(&["*"]);
    assert_eq!([status(&server, &first), status(&server, &second)], [401, 200]);
    assert_eq!(server.get("/api/tokens", &second).json()["meta"]["total"], 4);
}

#[test]
fn dead_tokens_do_not_count() {
    let server = start_with(|config| {
        config.max_tokens_per_user = Some(3);
        config.token_ttl = Lifetime::seconds(100);
    });
    server.issue(&["a"]);
    server.issue_for(EMAIL, &["a"], Some(50));
    server.set_clock(10);
    let login = server.log_in_with(&["*"]);
    assert_eq!(issue(&server, &login).0, 422);
    server.set_clock(50);
    assert_eq!(issue(&server, &login).0, 201, "one has expired");
    assert_eq!(issue(&server, &login).0, 422);
    server.set_clock(100);
    assert_eq!(issue(&server, &login).0, 201, "one has died of age");
    assert_eq!(issue(&server, &login).0, 422);
    server.log_in_with(&["*"]);
    assert_eq!(status(&server, &login), 401);
}

#[test]
fn without_a_quota_a_user_has_any_number_of_tokens() {
    let server = start_with(|config| config.max_tokens_per_user = None);
    let first = server.log_in_with(&["*"]);
    server.db_execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
         INSERT INTO tokens (user_id, name, digest, abilities, created_at)
         SELECT 1, 'x', randomblob(32), '*', created_at FROM tokens, n",
    );
    server.log_in_with(&["*"]);
    assert_eq!(status(&server, &first), 200);
    assert_eq!(issue(&server, &first).0, 201);
    let server = server.restart(|config| config.max_tokens_per_user = Some(1000));
    assert_eq!(issue(&server, &first).0, 422, "a quota that is set later counts them");
    server.log_in_with(&["*"]);
    assert_eq!(status(&server, &first), 401);
}

#[test]
fn bearers_can_issue_sixty_tokens_a_minute_for_a_user() {
    let server = start();
    server.create_user("bob@example.org", PASSWORD, &["*"]);
    let his = server.issue_for("bob@example.org", &["tokens:write"], None);
    let tokens = [server.log_in_with(&["*"]), server.issue(&["tokens:write"])];
    for i in 0..60 {
        assert_eq!(issue(&server, &tokens[i % 2]).0, 201);
        let beyond = json!({"device_name": "x", "abilities": ["admin"]});
        let refused = server.send_json("POST", "/api/tokens", &tokens[1], &beyond);
        assert_eq!(
            refused.status,
            if i < 59 { 422 } else { 429 },
            "what is not issued doesn't count"
        );
    }
    server.set_clock(1);
    let body = json!({"device_name": "x"});
    for token in &tokens {
        let answer = server.send_json("POST", "/api/tokens", token, &body);
        assert_eq!(answer.status, 429);
        assert_eq!(answer.header("retry-after"), Some("59"));
        assert_eq!(answer.header("x-ratelimit-limit"), Some("60"));
        assert_eq!(answer.json()["code"], "too_many_attempts");
    }
    assert_eq!(issue(&server, &his).0, 201, "another user's");
    server.log_in_with(&["*"]);
    server.issue(&["*"]);
    server.set_clock(60);
    assert_eq!(issue(&server, &tokens[0]).0, 201);
}
