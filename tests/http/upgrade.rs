//! The upgrade of a database that an earlier release wrote: each token has the same access as before. These
//! tests pass with that release itself, too. Those at the end run each migration and its reversal.

use std::collections::BTreeSet;

use bearerd::domain::Email;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
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

#[test]
fn every_release_has_a_database_to_upgrade() {
    let changelog = include_str!("../../CHANGELOG.md");
    let titles = changelog.lines().filter_map(|line| line.strip_prefix("## "));
    let releases = titles
        .filter(|title| *title != "Unreleased")
        .map(|title| format!("{}.sql", title.split(' ').next().unwrap().trim_matches(['[', ']'])));
    let fixtures = std::fs::read_dir("tests/fixtures").unwrap();
    let fixtures = fixtures.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(releases.collect::<BTreeSet<_>>(), fixtures.collect::<BTreeSet<_>>());
}

/// Data for the first schema: users, and tokens of each kind.
const FIRST_DATA: &str = "
    INSERT INTO users VALUES
        (1, 'Ada', 'Ada@example.org', '$2b$04$IcB1sLS3ZiJbdfWT6/uvL.5Qt7map0xTw7pYn25NHgH0HFModkxIy', '*', 1, NULL, 10, 10),
        (2, 'Bob', 'bob@EXAMPLE.org', 'no bcrypt hash', 'a:b c', 0, 30, 20, 40),
        (3, 'Eve', 'e@example.org', '', '', 0, NULL, 20, 40);
    DELETE FROM users WHERE id = 3;
    INSERT INTO tokens (id, user_id, name, digest, abilities, created_at, last_used_at, expires_at, revoked_at)
    VALUES
        (1, 1, 'live', randomblob(32), '*', 11, NULL, NULL, NULL),
        (2, 1, 'used', randomblob(32), '', 12, 13, 99999999999, NULL),
        (3, 1, 'expired', randomblob(32), 'a:b', 14, NULL, 15, NULL),
        (4, 2, 'revoked', randomblob(32), '*', 16, 17, NULL, 18),
        (5, 2, 'of a disabled user', randomblob(32), '*', 19, NULL, NULL, NULL),
        (9, 2, 'deleted', randomblob(32), '*', 20, NULL, NULL, NULL);
    DELETE FROM tokens WHERE id = 9;";

/// Data that a schema can hold for the first time, by its migration.
const LATER_DATA: [(&str, &str); 3] = [
    (
        "20261126000000", // bind_tokens
        "INSERT INTO tokens (id, user_id, name, digest, abilities, created_at, kind, parent_id, ages_from)
         VALUES (21, 1, 'parent', randomblob(32), '*', 30, 'operator', NULL, NULL),
                (22, 1, 'child', randomblob(32), '*', 31, 'personal', 21, 30);",
    ),
    (
        "20261126010000", // reserve_emails
        "INSERT INTO email_owners VALUES ('former@example.org', 2), ('deleted@example.org', 3);",
    ),
    (
        "20261130010000", // revoke_by_watermark
        "INSERT INTO tokens (id, user_id, name, digest, abilities, created_at) VALUES
             (31, 2, 'below the watermark', randomblob(32), '*', 40),
             (32, 2, 'kept', randomblob(32), '*', 40);
         UPDATE users SET revoked_through = 32, kept_token = 32, all_revoked_at = 50 WHERE id = 2;
         INSERT INTO tokens (id, user_id, name, digest, abilities, created_at) VALUES
             (33, 2, 'above the watermark', randomblob(32), '*', 51);
         INSERT INTO users (id, name, email, password_hash, abilities, created_at, updated_at)
             VALUES (4, 'gone', 'gone@example.org', '', '*', 60, 60);
         INSERT INTO tokens (id, user_id, name, digest, abilities, created_at) VALUES
             (41, 4, 'of a deleted user', randomblob(32), '*', 61);
         DELETE FROM users WHERE id = 4;",
    ),
];

diesel::define_sql_function! {
    /// What the program defines for its migrations.
    fn email_key(email: Text) -> Text;
}

/// A database without a file, and the migrations in `migrations/`.
struct Steps {
    database: SqliteConnection,
    migrations: FileBasedMigrations,
}

impl Steps {
    fn new() -> Self {
        let mut database = SqliteConnection::establish(":memory:").unwrap();
        // As the program has it.
        database.batch_execute("PRAGMA foreign_keys = OFF").unwrap();
        let key = |email: String| Email::from_stored(email).key();
        email_key_utils::register_impl(&mut database, key).unwrap();
        Self { database, migrations: FileBasedMigrations::from_path("migrations/sqlite").unwrap() }
    }

    /// Runs the next migration. Returns its version.
    fn up(&mut self) -> String {
        self.database.run_next_migration(self.migrations.clone()).unwrap().to_string()
    }

    /// Reverts the last migration. Returns its version.
    fn down(&mut self) -> String {
        self.database.revert_last_migration(self.migrations.clone()).unwrap().to_string()
    }

    fn is_done(&mut self) -> bool {
        !self.database.has_pending_migration(self.migrations.clone()).unwrap()
    }

    fn texts(&mut self, query: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            text: String,
        }
        let rows = diesel::sql_query(query).load::<Row>(&mut self.database).unwrap();
        rows.into_iter().map(|row| row.text).collect()
    }

    /// The statements that make the schema, without differences in blanks.
    fn schema(&mut self) -> Vec<String> {
        let statements = self.texts(
            "SELECT type || ' ' || name || ' ' || ifnull(sql, '') AS text FROM sqlite_master ORDER BY 1",
        );
        let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        statements.into_iter().map(words).collect()
    }

    /// The rows of all tables, but not the history of migrations.
    fn rows(&mut self) -> Vec<String> {
        let tables = self.texts(
            "SELECT name AS text FROM sqlite_master
             WHERE type = 'table' AND name <> '__diesel_schema_migrations' ORDER BY name",
        );
        let mut rows = Vec::new();
        for table in tables {
            let columns = self.texts(&format!(
                "SELECT 'quote(' || name || ')' AS text FROM pragma_table_xinfo('{table}')"
            ));
            let row = columns.join(" || ', ' || ");
            rows.extend(
                self.texts(&format!("SELECT '{table}: ' || {row} AS text FROM {table} ORDER BY 1")),
            );
        }
        rows
    }
}

#[test]
fn each_migration_can_be_reverted_exactly_and_run_again() {
    let mut steps = Steps::new();
    steps.up();
    steps.database.batch_execute(FIRST_DATA).unwrap();
    while !steps.is_done() {
        let (schema, rows) = (steps.schema(), steps.rows());
        let version = steps.up();
        let (next_schema, next_rows) = (steps.schema(), steps.rows());
        assert_eq!(steps.down(), version);
        assert_eq!(steps.schema(), schema, "the schema before {version}");
        assert_eq!(steps.rows(), rows, "the rows before {version}");
        assert_eq!(steps.up(), version);
        assert_eq!(steps.schema(), next_schema, "the schema after {version}");
        assert_eq!(steps.rows(), next_rows, "the rows after {version}");
        if let Some((_, data)) = LATER_DATA.iter().find(|(since, _)| *since == version) {
            steps.database.batch_execute(data).unwrap();
        }
    }
}

#[test]
fn the_way_back_to_the_first_schema_revives_no_token() {
    let mut steps = Steps::new();
    let mut schemas = Vec::new();
    while !steps.is_done() {
        let version = steps.up();
        if schemas.is_empty() {
            steps.database.batch_execute(FIRST_DATA).unwrap();
        }
        if let Some((_, data)) = LATER_DATA.iter().find(|(since, _)| *since == version) {
            steps.database.batch_execute(data).unwrap();
        }
        schemas.push(steps.schema());
    }
    let unrevoked = "SELECT name AS text FROM unrevoked_tokens ORDER BY id";
    let before = steps.texts(unrevoked);
    assert_eq!(before.len(), 7, "{before:?}");
    let last = schemas.pop().unwrap();
    while let Some(schema) = schemas.pop() {
        let version = steps.down();
        assert_eq!(steps.schema(), schema, "the schema before {version}");
    }
    let tokens = "SELECT name AS text FROM tokens WHERE revoked_at IS NULL
        AND user_id IN (SELECT id FROM users) ORDER BY id";
    assert_eq!(steps.texts(tokens), before);
    while !steps.is_done() {
        steps.up();
    }
    assert_eq!(steps.schema(), last);
    assert_eq!(steps.texts(unrevoked), before);
}

#[test]
fn an_upgrade_leads_to_the_schema_of_a_new_database() {
    let schema = |server: &Server| {
        let query = "(SELECT type || ' ' || name || ' ' || ifnull(sql, '') AS line FROM sqlite_master \
            ORDER BY 1)";
        let text = server.db_text("group_concat(line, char(10))", query);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(schema(&upgraded()), schema(&crate::support::start()));
}
