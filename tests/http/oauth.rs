//! Introspection (RFC 7662), revocation (RFC 7009) and metadata (RFC 8414).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use bearerd::app;
use bearerd::config::{Issuer, Origins};
use bearerd::domain::Lifetime;
use serde_json::json;

use crate::support::{
    Answer, EMAIL, INVALID_TOKEN, OFFERS_BASIC, PASSWORD, START, Server, sha_256, start, start_with,
};

const FORM: &str = "application/x-www-form-urlencoded";

fn post(server: &Server, path: &str, credentials: &str, form: &str) -> Answer {
    server.send_form(path, &[("Authorization", credentials)], form)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn basic(token: &str) -> String {
    let pair = format!("client:{token}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

#[test]
fn introspection_describes_only_live_tokens() {
    let server = start_with(|config| config.issuer = Issuer::parse("https://auth.example.org"));
    let caller = server.issue(&["introspect"]);
    let token = server.issue_for(EMAIL, &["posts:read", "posts:write"], Some(60));
    let form = format!("token={token}&token_type_hint=access_token");
    for credentials in [bearer(&caller), basic(&caller)] {
        let answer = post(&server, "/api/introspect", &credentials, &form);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let described = json!({
            "active": true, "scope": "posts:read posts:write", "client_id": "test",
            "username": EMAIL, "token_type": "Bearer", "exp": START + 60, "iat": START,
            "sub": "1", "iss": "https://auth.example.org",
        });
        assert_eq!(answer.json(), described);
    }
    server.set_clock(60);
    for dead in [token.as_str(), "bd_nonsense", "1|x", "%00", "x%ff"] {
        let answer = post(&server, "/api/introspect", &bearer(&caller), &format!("token={dead}"));
        assert_eq!((answer.status, answer.json()), (200, json!({"active": false})), "{dead}");
    }
}

#[test]
fn introspection_needs_the_ability() {
    let server = start();
    let caller = server.issue(&["posts:read"]);
    let form = format!("token={caller}");
    let refused = post(&server, "/api/introspect", &bearer(&caller), &form);
    assert_eq!(refused.status, 403);
    let refused = post(&server, "/api/introspect", &basic("bd_nonsense"), &form);
    assert_eq!((refused.status, refused.challenges()), (401, vec![OFFERS_BASIC, INVALID_TOKEN]));
    assert_eq!(server.send_form("/api/introspect", &[], &form).status, 401);
}

#[test]
fn a_caller_revoked_before_the_form_arrives_gets_no_introspection() {
    let server = start();
    let caller = server.issue(&["introspect"]);
    let form = format!("token={}", server.issue(&["*"]));
    let head = format!(
        "POST /api/introspect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Authorization: Bearer {caller}\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n\r\n",
        form.len()
    );
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // Once the use is recorded, the guard has let the request through.
    while server.db_text("CAST(count(last_used_at) AS TEXT)", "tokens") == "0" {
        app::block_on(server.bearerd.note_uses());
    }
    assert_eq!(server.delete("/api/tokens/current", &caller).status, 204);
    stream.write_all(form.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[test]
fn any_caller_can_revoke_a_token_by_its_string() {
    let server = start();
    let caller = server.issue(&[]);
    let token = server.issue(&["*"]);
    let form = format!("token={token}&unknown=1");
    assert_eq!(server.get("/api/user", &token).status, 200);
    assert_eq!(server.send_form("/api/revoke", &[], &form).status, 401);
    for _ in 0..2 {
        let answer = post(&server, "/api/revoke", &basic(&caller), &form);
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert_eq!(server.get("/api/user", &token).status, 401);
    }
    assert_eq!(post(&server, "/api/revoke", &bearer(&caller), "token=nonsense").status, 200);
    let token = server.issue(&["*"]);
    let from_file = format!("token=+{token}%0D%0A");
    assert_eq!(post(&server, "/api/revoke", &bearer(&caller), &from_file).status, 200);
    assert_eq!(server.get("/api/user", &token).status, 401, "blanks around it do not count");
    let own = format!("token={caller}");
    assert_eq!(post(&server, "/api/revoke", &bearer(&caller), &own).status, 200);
    assert_eq!(post(&server, "/api/revoke", &bearer(&caller), &own).status, 401);
}

#[test]
fn a_revoked_token_never_works_again_even_if_it_was_dead_already() {
    let mut server = start_with(|config| config.token_ttl = Lifetime::seconds(3600));
    let secret = "a1".repeat(20);
    server.db_execute(&format!(
        "INSERT INTO tokens (user_id, name, digest, abilities, created_at)
         VALUES (1, 'from Sanctum', x'{}', '*', {START})",
        sha_256(&secret)
    ));
    server.create_user("bob@example.org", PASSWORD, &["*"]);
    let disabled = format!("1|{secret}");
    let cached = server.issue(&["tokens:write"]);
    let child = server.issue_by(&cached);
    let expired = server.issue_for("bob@example.org", &["*"], None);
    assert_eq!(server.get("/api/user", &cached).status, 200, "now it is cached");
    server.create_user("eve@example.org", PASSWORD, &["*"]);
    server.create_user("zoe@example.org", PASSWORD, &["*"]);
    let orphaned = server.issue_for("eve@example.org", &["*"], None);
    server.set_clock(3600);
    server.db_execute(
        "UPDATE users SET disabled_at = 1 WHERE id = 1;
         CREATE TABLE spare AS SELECT * FROM users WHERE email = 'eve@example.org';
         PRAGMA foreign_keys = OFF; DELETE FROM users WHERE email = 'eve@example.org'",
    );
    server.see_other_writes();
    let caller = bearer(&server.issue_for("zoe@example.org", &[], None));
    assert_eq!(post(&server, "/api/revoke", &caller, &format!("token=9|{secret}")).status, 200);
    let still = server.db_text("CAST(count(*) AS TEXT)", "tokens WHERE revoked_at IS NULL");
    assert_eq!(still, "6", "that row is another's");
    for token in [&disabled, &cached, &expired, &orphaned] {
        let answer = post(&server, "/api/revoke", &caller, &format!("token={token}"));
        assert_eq!(answer.status, 200);
    }
    for unknown in ["nonsense", "bd_malformed", "1|nonsense", "x|y"] {
        let answer = post(&server, "/api/revoke", &caller, &format!("token={unknown}"));
        assert_eq!(answer.status, 200, "{unknown}");
    }
    server.db_execute(
        "UPDATE users SET disabled_at = NULL; INSERT INTO users SELECT * FROM spare;
         DROP TABLE spare",
    );
    server = server.restart(|config| config.token_ttl = Lifetime::NEVER);
    for token in [disabled, cached, child, expired, orphaned] {
        server.get("/api/user", &token).assert_refused(INVALID_TOKEN);
    }
}

#[test]
fn revoking_a_token_does_not_count_as_a_use_of_it() {
    let server = start();
    let (caller, token) = (bearer(&server.issue(&[])), server.issue(&["*"]));
    assert_eq!(post(&server, "/api/revoke", &caller, &format!("token={token}")).status, 200);
    app::block_on(server.bearerd.note_uses());
    let used = server.db_text("CAST(count(last_used_at) AS TEXT)", "tokens WHERE id = 2");
    assert_eq!(used, "0");
}

#[test]
fn a_form_without_exactly_one_token_is_refused() {
    let server = start();
    let caller = bearer(&server.issue(&["introspect"]));
    for path in ["/api/introspect", "/api/revoke"] {
        for form in ["", "token=", "tokens=x", "token=a&token=b", "&&&"] {
            let answer = post(&server, path, &caller, form);
            assert_eq!(answer.status, 400, "{path} {form}");
            assert_eq!(answer.json()["error"], "invalid_request");
        }
        let body = json!({"token": "x"});
        let answer = server.send("POST", path, &[("Authorization", &caller)], Some(&body));
        assert_eq!(answer.status, 415, "{}", answer.body);
        assert!(answer.body.contains(FORM));
    }
}

#[test]
fn the_metadata_names_both_endpoints_and_the_pages_under_the_issuer() {
    let server = start_with(|config| {
        config.issuer = Issuer::parse("https://auth.example.org/x");
        config.cors_origins = Origins::Any;
    });
    let answer = server.send("GET", "/.well-known/oauth-authorization-server", &[], None);
    assert_eq!(answer.status, 200);
    let metadata = answer.json();
    assert_eq!(metadata["issuer"], "https://auth.example.org/x");
    assert_eq!(metadata["introspection_endpoint"], "https://auth.example.org/x/api/introspect");
    assert_eq!(metadata["revocation_endpoint"], "https://auth.example.org/x/api/revoke");
    assert_eq!(metadata["service_documentation"], "https://auth.example.org/x/docs");
}
