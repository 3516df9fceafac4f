use bearerd::app;
use bearerd::auth::TokenRequest;
use bearerd::domain::{Email, Lifetime, Name, TokenPrefix};

use serde_json::json;

use crate::support::{EMAIL, INVALID_TOKEN, PASSWORD, START, sha_256, start, start_with};

#[test]
fn a_token_can_use_only_abilities_that_its_owner_has_too() {
    let server = start();
    let owner = "bob@example.org";
    server.create_user(owner, "a good password", &["tokens:read"]);
    let token = app::block_on(server.auth.issue(
        Email::parse(owner).unwrap(),
        TokenRequest { name: Name::parse("all").unwrap(), abilities: None, expires_in: None },
    ));
    let token = token.unwrap().plain.expose().to_owned();
    assert_eq!(server.get("/api/tokens", &token).status, 200);
    assert_eq!(server.delete("/api/tokens", &token).status, 403);
}

#[test]
fn a_disabled_user_cannot_log_in_and_their_tokens_are_refused() {
    let server = start();
    let token = server.issue(&["*"]);
    assert_eq!(server.get("/api/user", &token).status, 200, "now it is cached");
    server.db_execute("UPDATE users SET disabled_at = 1");
    server.see_other_writes();
    server.get("/api/user", &token).assert_refused(INVALID_TOKEN);
    let body = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x"});
    let refused = server.log_in(body);
    assert_eq!((refused.status, &refused.json()["code"]), (401, &json!("invalid_credentials")));
    server.db_execute("UPDATE users SET disabled_at = NULL");
    assert_eq!(server.get("/api/user", &token).status, 200);
}

#[test]
fn a_token_whose_owner_another_process_deleted_is_dead() {
    let server = start();
    let (seen, unseen) = (server.issue(&["*"]), server.issue(&["*"]));
    assert_eq!(server.get("/api/user", &seen).status, 200, "now it is cached");
    server.db_execute("PRAGMA foreign_keys = OFF; DELETE FROM users");
    server.see_other_writes();
    assert_eq!(server.db_text("CAST(count(*) AS TEXT)", "tokens"), "2", "their rows are there");
    server.get("/api/user", &seen).assert_refused(INVALID_TOKEN);
    server.get("/api/user", &unseen).assert_refused(INVALID_TOKEN);
}

#[test]
fn a_token_whose_checksum_is_wrong_never_reaches_the_store() {
    let server = start();
    let token = server.issue(&["*"]);
    let counted = || {
        let count = |outcome: &str| {
            server.metric(&format!("bearerd_token_checks_total{{outcome=\"{outcome}\"}}"))
        };
        (count("malformed"), count("miss"))
    };
    // Every query of tokens fails from here on.
    server.db_execute("ALTER TABLE tokens RENAME TO elsewhere");
    let wrong = format!("{}{:08x}", &token[..43], !crc32fast::hash(&token.as_bytes()[3..43]));
    server.get("/api/user", &wrong).assert_refused(INVALID_TOKEN);
    assert_eq!(counted(), (1, 0));
    assert_eq!(server.get("/api/user", &token).status, 500, "one that is looked up");
    assert_eq!(counted(), (1, 1));
}

#[test]
fn malformed_authorization_headers_are_refused() {
    let server = start();
    let token = server.issue(&["*"]);
    let ask = |header: &[u8]| {
        let mut request = b"GET /api/user HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".to_vec();
        request.extend_from_slice(header);
        request.extend_from_slice(b"\r\n\r\n");
        server.send_raw(&request).0
    };
    let long = [b"Authorization: Bearer ".as_slice(), &vec![b'x'; 64 * 1024]].concat();
    let twice = format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}");
    for header in [
        b"X-Nothing: 1".as_slice(),
        b"Authorization:",
        b"Authorization: Bearer",
        b"Authorization: Bearer ",
        b"Authorization: Basic YTpi",
        format!("Authorization: Token {token}").as_bytes(),
        format!("Authorization: {token}").as_bytes(),
        format!("Authorization: Bearer {token}, Bearer {token}").as_bytes(),
        twice.as_bytes(),
        b"Authorization: Bearer \xff\xfe",
        &long,
    ] {
        assert_eq!(
            ask(header),
            401,
            "{:?}",
            String::from_utf8_lossy(&header[..header.len().min(60)])
        );
    }
    for broken in ["|", "|x", "1ABC|x", "1ABC|", "1,2|x", "99999999999999999999|x", "1|", "0|x"] {
        assert_eq!(ask(format!("Authorization: Bearer {broken}").as_bytes()), 401, "{broken}");
    }
    // RFC 9110, 5.5: a header field with these characters is malformed.
    for control in [b"Authorization: Bearer a\0b".as_slice(), b"Authorization: Bearer a\x07b"] {
        assert_eq!(ask(control), 400);
    }
    for good in ["Bearer", "bearer", "BEARER   "] {
        assert_eq!(ask(format!("Authorization: {good} {token} \t").as_bytes()), 200, "{good}");
    }
}

#[test]
fn a_token_from_sanctum_works_only_with_its_own_id() {
    let server = start();
    let (one, another) = ("a1".repeat(20), "b2".repeat(20));
    for (id, secret) in [(17, &one), (18, &another)] {
        // Sanctum stores the digest of the text after the bar.
        let digest = sha_256(secret);
        server.db_execute(&format!(
            "INSERT INTO tokens (id, user_id, name, digest, abilities, created_at)
             VALUES ({id}, 1, 'from Sanctum', x'{digest}', '*', {START})"
        ));
    }
    let status = |token: &str| server.get("/api/user", token).status;
    assert_eq!(status(&format!("18|{one}")), 401);
    assert_eq!(status(&format!("17|{one}")), 200);
    assert_eq!(status(&format!("18|{one}")), 401, "and cached");
    assert_eq!(server.delete("/api/tokens/current", &format!("17|{one}")).status, 204);
    assert_eq!(status(&format!("17|{one}")), 401);
    assert_eq!(status(&format!("18|{another}")), 200);
}

#[test]
fn a_digest_with_only_the_same_prefix_does_not_match() {
    let server = start();
    let secret = "a1".repeat(20);
    let digest = format!("{}{}", &sha_256(&secret)[..16], "00".repeat(24));
    server.db_execute(&format!(
        "INSERT INTO tokens (id, user_id, name, digest, abilities, created_at)
         VALUES (17, 1, 'of another secret', x'{digest}', '*', {START})"
    ));
    assert_eq!(server.get("/api/user", &format!("17|{secret}")).status, 401);
}

#[test]
fn a_token_with_an_earlier_prefix_keeps_working() {
    let server = start_with(|config| config.token_prefix = TokenPrefix::parse("old_").unwrap());
    let token = server.issue(&["*"]);
    assert!(token.starts_with("old_"));
    let server = server.restart(|config| config.token_prefix = TokenPrefix::parse("new_").unwrap());
    assert_eq!(server.get("/api/user", &token).status, 200);
}

#[test]
fn a_token_is_live_until_the_second_before_its_end() {
    let server = start();
    let token = server.issue_for(EMAIL, &["*"], Some(60));
    let shown = server.get("/api/tokens/current", &token).json();
    assert_eq!(shown["data"]["expires_at"], "2026-01-01T00:01:00Z");
    server.set_clock(59);
    assert_eq!(server.get("/api/user", &token).status, 200);
    server.set_clock(60);
    server.get("/api/user", &token).assert_refused(INVALID_TOKEN);
}

#[test]
fn token_ttl_applies_to_tokens_already_issued() {
    let server = start_with(|config| config.token_ttl = Lifetime::NEVER);
    let token = server.issue(&["*"]);
    let shown = server.get("/api/tokens/current", &token).json();
    assert_eq!(shown["data"]["expires_at"], json!(null));
    let server = server.restart(|config| config.token_ttl = Lifetime::seconds(3600));
    let shown = server.get("/api/tokens/current", &token).json();
    assert_eq!(shown["data"]["expires_at"], "2026-01-01T01:00:00Z");
    server.set_clock(3599);
    assert_eq!(server.get("/api/user", &token).status, 200);
    server.set_clock(3600);
    server.get("/api/user", &token).assert_refused(INVALID_TOKEN);
}

#[test]
fn a_token_expires_at_the_earlier_of_its_own_expiry_and_token_ttl() {
    for (expires_in, shown, end) in [
        (Some(60), "2026-01-01T00:01:00Z", 60),
        (Some(7200), "2026-01-01T01:00:00Z", 3600),
        (None, "2026-01-01T01:00:00Z", 3600),
    ] {
        let server = start_with(|config| config.token_ttl = Lifetime::seconds(3600));
        let token = server.issue_for(EMAIL, &["*"], expires_in);
        let own = server.get("/api/tokens/current", &token).json();
        let listed = server.get("/api/tokens", &token).json();
        assert_eq!(
            (&own["data"]["expires_at"], &listed["data"][0]["expires_at"]),
            (&json!(shown), &json!(shown))
        );
        server.set_clock(end - 1);
        assert_eq!(server.get("/api/user", &token).status, 200);
        server.set_clock(end);
        server.get("/api/user", &token).assert_refused(INVALID_TOKEN);
    }
}
