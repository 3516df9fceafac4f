//! The upgrade of a database that an earlier release wrote: each token has the same access as before. These
//! tests pass with that release itself, too.

use serde_json::json;

use crate::support::{START, Server, sha_256, start_on};

const RELEASE_0_1_0: &str = include_str!("../fixtures/0.1.0.sql");
const PASSWORD: &str = "correct horse battery";
const DAY: i64 = 24 * 60 * 60;

const ADA: i64 = 1;
const ROOT: i64 = 2;
const CAROL_WHO_IS_DISABLED: i64 = 3;
const BOB_WHO_IS_LIMITED: i64 = 4;

/// A token that 0.1.0 stored. Times are seconds from the start of the test.
struct Stored {
    id: i64,
    owner: i64,
    abilities: &'static str,
    created: i64,
    expires: Option<i64>,
    revoked: Option<i64>,
    /// The letters of the [`REQUESTS`] that it may send. A dead token may send none.
    may: &'static str,
}

/// Requests that need no ability or a certain one, each with a letter.
const REQUESTS: [(char, &str, &str); 7] = [
    ('u', "GET", "/api/user"),
    ('r', "GET", "/api/tokens"),
    ('w', "PATCH", "/api/tokens/99"),
    ('a', "PUT", "/api/user/password"),
    ('i', "POST", "/api/introspect"),
    ('d', "GET", "/api/users"),
    ('p', "GET", "/api/verify?ability=posts:read"),
];

#[rustfmt::skip] // One row per line.
const TOKENS: [Stored; 16] = [
    Stored { id: 1, owner: ADA, abilities: "*", created: -DAY, expires: None, revoked: None, may: "urwaip" },
    Stored { id: 2, owner: ADA, abilities: "", created: -DAY, expires: None, revoked: None, may: "u" },
    Stored { id: 3, owner: ADA, abilities: "tokens:*", created: -DAY, expires: None, revoked: None, may: "urw" },
    Stored { id: 4, owner: ADA, abilities: "posts:read foo *", created: -DAY, expires: None, revoked: None, may: "urwaip" },
    Stored { id: 5, owner: ADA, abilities: "account:* introspect", created: -DAY, expires: Some(DAY), revoked: None, may: "uai" },
    Stored { id: 6, owner: ADA, abilities: "*", created: -DAY, expires: Some(1), revoked: None, may: "urwaip" },
    Stored { id: 7, owner: ADA, abilities: "*", created: -DAY, expires: Some(0), revoked: None, may: "" },
    Stored { id: 8, owner: ADA, abilities: "*", created: -DAY, expires: None, revoked: Some(-1), may: "" },
    Stored { id: 9, owner: ADA, abilities: "*", created: 1 - 30 * DAY, expires: None, revoked: None, may: "urwaip" },
    Stored { id: 10, owner: ADA, abilities: "*", created: -30 * DAY, expires: None, revoked: None, may: "" },
    Stored { id: 11, owner: ADA, abilities: "*", created: -31 * DAY, expires: Some(DAY), revoked: None, may: "" },
    Stored { id: 12, owner: ROOT, abilities: "*", created: -DAY, expires: None, revoked: None, may: "urwaidp" },
    Stored { id: 13, owner: ROOT, abilities: "admin", created: -DAY, expires: None, revoked: None, may: "ud" },
    Stored { id: 14, owner: CAROL_WHO_IS_DISABLED, abilities: "*", created: -DAY, expires: None, revoked: None, may: "" },
    Stored { id: 15, owner: BOB_WHO_IS_LIMITED, abilities: "*", created: -DAY, expires: None, revoked: None, may: "urwp" },
    Stored { id: 16, owner: BOB_WHO_IS_LIMITED, abilities: "account:write posts:*", created: -DAY, expires: None, revoked: None, may: "up" },
];

/// The string of the token with this id: 40 characters, and their checksum.
fn string(id: i64) -> String {
    let random = format!("{id:0>40}");
    format!("bd_{random}{:08x}", crc32fast::hash(random.as_bytes()))
}

fn insertion(token: &Stored) -> String {
    let Stored { id, owner, abilities, created, expires, revoked, .. } = token;
    let time = |seconds: &Option<i64>| {
        seconds.map_or("NULL".to_owned(), |seconds| (START + seconds).to_string())
    };
    format!(
        "INSERT INTO tokens VALUES ({id}, {owner}, 'stored', X'{}', '{abilities}', {}, NULL, {}, {});",
        sha_256(&string(*id)),
        START + created,
        time(expires),
        time(revoked),
    )
}

fn upgraded() -> Server {
    start_on(&format!("{RELEASE_0_1_0}{}", TOKENS.iter().map(insertion).collect::<String>()))
}

fn is_let_through(server: &Server, token: &str, request: &(char, &str, &str)) -> bool {
    let (_, method, path) = request;
    let status = server.with_token(method, path, token).status;
    assert!([200, 401, 403, 404, 415].contains(&status), "{method} {path}: {status}");
    ![401, 403].contains(&status)
}

#[test]
fn every_stored_token_has_the_same_access_as_before() {
    let server = upgraded();
    for token in &TOKENS {
        // From the database, and then from the cache.
        for _ in 0..2 {
            let may = REQUESTS.iter().filter(|one| is_let_through(&server, &string(token.id), one));
            let may: String = may.map(|(letter, ..)| letter).collect();
            assert_eq!(may, token.may, "token {}", token.id);
        }
    }
}

#[test]
fn a_stored_token_shows_the_same_abilities_and_expiry_as_before() {
    let server = upgraded();
    for token in TOKENS.iter().filter(|token| token.may.contains('u')) {
        let data = server.get("/api/tokens/current", &string(token.id)).json()["data"].clone();
        let abilities: Vec<_> = token.abilities.split_whitespace().collect();
        if token.owner != BOB_WHO_IS_LIMITED {
            assert_eq!(data["abilities"], json!(abilities), "token {}", token.id);
        }
        let by_age = token.created + 30 * DAY;
        let end = START + token.expires.map_or(by_age, |expires| expires.min(by_age));
        let end = humantime::format_rfc3339_seconds(
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(end.unsigned_abs()),
        );
        assert_eq!(data["expires_at"], end.to_string(), "token {}", token.id);
    }
}

#[test]
fn a_token_works_when_its_owner_is_enabled_again() {
    let server = upgraded();
    let enabled = json!({"disabled": false});
    let answer = server.send_json("PATCH", "/api/users/3", &string(13), &enabled);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(server.get("/api/user", &string(14)).status, 200);
}

#[test]
fn tokens_that_a_stored_token_issues_survive_it() {
    let server = upgraded();
    let body = json!({"device_name": "ci", "abilities": ["posts:read"]});
    let issued = server.send_json("POST", "/api/tokens", &string(1), &body).token();
    assert_eq!(server.delete("/api/tokens/current", &string(1)).status, 204);
    assert_eq!(server.get("/api/verify?ability=posts:read", &issued).status, 200);
}

#[test]
fn every_enabled_user_can_log_in_as_before_even_with_a_look_alike_email() {
    let server = upgraded();
    for (email, status) in [
        ("ada@example.org", 201),
        ("ADA@example.org", 201),
        ("root@example.org", 201),
        ("bob@example.org", 201),
        ("\u{430}da@example.org", 201),
        ("carol@example.org", 401),
    ] {
        let body = json!({"email": email, "password": PASSWORD, "device_name": "x"});
        assert_eq!(server.log_in(body).status, status, "{email}");
    }
}
