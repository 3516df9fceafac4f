//! `migrate`, `backup`, `check`, `completions`.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use bearerd::app::{self, Services};
use bearerd::auth::{Auth, Check, TokenRequest};
use bearerd::config::Config;
use bearerd::domain::{Email, Name, TokenHash};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};
use serde_json::{Value, json};

use crate::support::{Place, stderr};

fn config(place: &Place, database: &str) -> Config {
    let database = place.path().join(database);
    Config { database, bcrypt_cost: 4, max_tokens_per_user: None, ..Config::default() }
}

fn check(place: &Place, database: &str) -> (Option<i32>, Value) {
    let url = format!("sqlite://{database}");
    let output = place.run(&["check", "--json", "--database-url", &url]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// The names of what lies in the folder.
fn names(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Writes nonsense over the root of a table.
fn damage(place: &Place, table: &str) {
    #[derive(QueryableByName)]
    struct Root {
        #[diesel(sql_type = BigInt)]
        rootpage: i64,
    }
    let file = place.path().join("bearerd.sqlite");
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    let query = format!("SELECT rootpage FROM sqlite_master WHERE name = '{table}'");
    let root: Root = diesel::sql_query(query).get_result(&mut connection).unwrap();
    drop(connection);
    let file = fs::File::options().write(true).open(file).unwrap();
    file.write_all_at(&[0xA5; 4096], (root.rootpage as u64 - 1) * 4096).unwrap();
}

#[test]
fn migrate_brings_the_database_up_to_date_and_says_so() {
    let place = Place::new();
    for _ in 0..2 {
        assert_eq!(place.print(&["migrate"]), "the database bearerd.sqlite is up to date\n");
    }
    assert_eq!(names(&place), ["bearerd.sqlite"]);
}

/// A database of the first release, with a user for each of these emails.
fn first_release(config: &Config, emails: &[&str]) -> SqliteConnection {
    const FIRST: &str = "2026-11-23-000000_create_users_and_tokens";
    let tables = fs::read_to_string(format!("migrations/sqlite/{FIRST}/up.sql")).unwrap();
    let mut file = SqliteConnection::establish(config.database.to_str().unwrap()).unwrap();
    file.batch_execute(&tables).unwrap();
    file.batch_execute(
        "CREATE TABLE __diesel_schema_migrations
             (version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT 0);
         INSERT INTO __diesel_schema_migrations (version) VALUES ('20261123000000')",
    )
    .unwrap();
    for email in emails {
        diesel::sql_query(
            "INSERT INTO users (name, email, password_hash, abilities, created_at, updated_at)
                 VALUES ('Ada', ?, '', '*', 0, 0)",
        )
        .bind::<diesel::sql_types::Text, _>(email)
        .execute(&mut file)
        .unwrap();
    }
    file
}

#[test]
fn accounts_of_the_first_release_are_found_by_their_emails() {
    let place = Place::new();
    let emails = [
        "Ada@example.org",
        "JÖRG@example.org",
        "jörg@example.org",
        "u@xn--bcher-kva.example",
        "ｒ@ｘ.org",
    ];
    drop(first_release(&config(&place, "bearerd.sqlite"), &emails));
    for (given, id) in [
        ("ada@EXAMPLE.org", 1),
        ("JÖRG@example.org", 2),
        ("jörg@example.org", 3),
        ("jo\u{308}rg@example.org", 2),
        ("u@bücher.example", 4),
        ("ｒ@ｘ.org", 5),
    ] {
        let user = place.print(&["user", "show", given, "--json"]);
        let user: Value = serde_json::from_str(&user).unwrap();
        assert_eq!(user["id"], id, "{given}");
    }
    for taken in ["ADA@example.org", "JöRG@example.org", "u@bücher.example"] {
        let create = ["user", "create", "--name", "x", "--email", taken];
        let output = place.run_with_input(&create, "correct horse\n");
        assert_eq!(stderr(&output), "bearerd: The email has already been taken.\n", "{taken}");
    }
}

/// The digest of a token is looked up elsewhere than where the first release kept it.
#[test]
fn tokens_of_the_first_release_go_on_working() {
    let place = Place::new();
    let config = config(&place, "bearerd.sqlite");
    let mut file = first_release(&config, &["ada@example.org"]);
    let tokens: Vec<_> = (0..3).map(|i| format!("old_{i}")).collect();
    for token in &tokens {
        diesel::sql_query(
            "INSERT INTO tokens (user_id, name, digest, abilities, created_at)
             VALUES (1, 'laptop', ?, '*', strftime('%s'))",
        )
        .bind::<Binary, _>(TokenHash::of(token.as_bytes()).as_bytes().as_slice())
        .execute(&mut file)
        .unwrap();
    }
    drop(file);
    assert_eq!(accepted(&config, &tokens), 3);
}

#[test]
fn a_row_by_hand_that_nobody_could_find_is_refused() {
    let place = Place::new();
    place.create_ada();
    place.issue();
    let path = place.path().join("bearerd.sqlite");
    let mut file = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    for (digest, fault) in [
        ("(SELECT digest FROM tokens)", "there already"),
        ("(SELECT hex(digest) FROM tokens)", "32 bytes"),
        ("randomblob(31)", "32 bytes"),
    ] {
        // With these SQLite would pass over a key that is taken.
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
    let faults = || check(&place, "bearerd.sqlite").1["database"]["faults"].clone();
    assert_eq!(faults(), serde_json::json!([]));
    file.batch_execute("DELETE FROM token_counts").unwrap();
    let fault = "the user 1 has 1 unrevoked tokens, and token_counts says 0";
    assert_eq!(faults(), serde_json::json!([fault]));
    // The sweeper has not deleted this user's token yet.
    file.batch_execute("PRAGMA foreign_keys = OFF; DELETE FROM users").unwrap();
    assert_eq!(faults(), serde_json::json!([]));
    file.batch_execute("DELETE FROM bulk_revocations").unwrap();
    let fault = "the token 1 belongs to the user 1, who is missing";
    assert_eq!(faults(), serde_json::json!([fault]));
}

#[test]
fn a_backup_is_one_private_file_that_works() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let _server = place.serve();
    assert_eq!(
        place.print(&["backup", "copy.sqlite"]),
        "database bearerd.sqlite backed up to copy.sqlite\n"
    );
    let copy = place.path().join("copy.sqlite");
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let ours = names(&place);
    assert_eq!(
        ours,
        ["bearerd.sqlite", "bearerd.sqlite-shm", "bearerd.sqlite-wal", "copy.sqlite"],
        "nothing is left beside it"
    );
    let serve = ["serve", "--listen", "127.0.0.1:0", "--database-url", "sqlite://copy.sqlite"];
    let restored = crate::support::Serving::start(place.command(&serve));
    assert_eq!(restored.status(&token), 200);
}

#[test]
fn a_backup_overwrites_nothing() {
    let place = Place::new();
    place.create_ada();
    let path = |name: &str| place.path().join(name);
    fs::write(path("file"), "precious").unwrap();
    fs::write(path("empty"), "").unwrap();
    fs::create_dir(path("folder")).unwrap();
    std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
    let before = names(&place);
    for name in ["file", "empty", "folder", "link", "bearerd.sqlite"] {
        let output = place.run(&["backup", name]);
        assert_eq!(output.status.code(), Some(1));
        let message = format!("bearerd: {name} exists already, and a backup overwrites nothing\n");
        assert_eq!(stderr(&output), message);
    }
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "precious");
    assert_eq!(names(&place), before);
}

#[test]
fn a_backup_that_fails_leaves_nothing_behind() {
    let place = Place::new();
    let nothing = place.run(&["backup", "copy.sqlite"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(stderr(&nothing).contains("there is no database bearerd.sqlite to back up"));
    assert_eq!(names(&place), [""; 0]);

    place.create_ada();
    place.issue();
    let missing = place.run(&["backup", "missing/copy.sqlite"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("can't back up to missing/copy.sqlite: "));
    damage(&place, "tokens");
    let damaged = place.run(&["backup", "copy.sqlite"]);
    assert_eq!(damaged.status.code(), Some(1));
    assert!(stderr(&damaged).contains("malformed"), "{}", stderr(&damaged));
    assert_eq!(names(&place), ["bearerd.sqlite"]);
}

/// Issues tokens until told to stop, and notes each that was acknowledged.
async fn issue_tokens(auth: &Auth, acknowledged: &Acknowledged, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let request =
            TokenRequest { name: Name::parse("ci").unwrap(), abilities: None, expires_in: None };
        let email = Email::parse("ada@example.org").unwrap();
        let issued = auth.issue(email, request).await.unwrap();
        acknowledged.tokens.lock().unwrap().push(issued.plain.expose().to_owned());
        acknowledged.one_more.notify_one();
    }
}

#[derive(Default)]
struct Acknowledged {
    tokens: Mutex<Vec<String>>,
    one_more: Condvar,
}

/// How many of the tokens a database accepts.
fn accepted(config: &Config, tokens: &[String]) -> usize {
    app::block_on(async {
        let services = Services::open(config, app::system_clock()).unwrap();
        let mut accepted = 0;
        for token in tokens {
            let Check::Unknown(presented) = services.auth.check(token.as_bytes()) else {
                panic!("a token that was never asked for is known");
            };
            accepted += usize::from(services.auth.look_up(&presented).await.is_ok());
        }
        services.close().await;
        accepted
    })
}

#[test]
fn a_backup_while_32_clients_write_holds_every_token_acknowledged_before_it_began() {
    let place = Place::new();
    place.create_ada();
    let (acknowledged, stop) = (Acknowledged::default(), AtomicBool::new(false));
    let (before, after) = std::thread::scope(|scope| {
        scope.spawn(|| {
            app::block_on(async {
                let services =
                    Services::open(&config(&place, "bearerd.sqlite"), app::system_clock()).unwrap();
                let clients = (0..32).map(|_| issue_tokens(&services.auth, &acknowledged, &stop));
                futures_util::future::join_all(clients).await;
                services.close().await;
            });
        });
        let few = |tokens: &mut Vec<_>| tokens.len() < 2000;
        let Acknowledged { tokens, one_more } = &acknowledged;
        let enough =
            one_more.wait_timeout_while(tokens.lock().unwrap(), Duration::from_secs(60), few);
        let before = enough.unwrap().0.clone();
        let output = place.run(&["backup", "copy.sqlite"]);
        let after = tokens.lock().unwrap().len();
        stop.store(true, Ordering::Relaxed);
        assert!(output.status.success(), "{}", stderr(&output));
        (before, after)
    });
    assert!(before.len() >= 2000 && after > before.len(), "the clients were held up");
    let (code, report) = check(&place, "copy.sqlite");
    assert_eq!((code, &report["database"]["faults"]), (Some(0), &json!([])));
    assert_eq!(accepted(&config(&place, "copy.sqlite"), &before), before.len());
}

#[test]
fn check_shows_each_setting_in_force_and_where_it_comes_from() {
    let place = Place::new();
    place.create_ada();
    fs::write(place.path().join("bearerd.toml"), "retention = \"5h\"\nlisten = \"[::1]:5\"\n")
        .unwrap();
    let arguments = ["check", "--listen", "[::1]:7"];
    let report = place.print(&[&arguments[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    let row = |key: &str| {
        let rows = report["settings"].as_array().unwrap();
        rows.iter().find(|row| row["setting"] == key).unwrap().clone()
    };
    for (setting, value, source, place) in [
        ("token_ttl", "30d", "default", Value::Null),
        ("retention", "5h", "file", json!("bearerd.toml")),
        ("bcrypt_cost", "4", "environment", json!("BEARERD_BCRYPT_COST")),
        ("listen", "[::1]:7", "flag", json!("--listen")),
    ] {
        let expected =
            json!({"setting": setting, "value": value, "source": source, "place": place});
        assert_eq!(row(setting), expected);
    }
    let text = place.print(&arguments);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in ["listen [::1]:7 flag --listen", "retention 5h file bearerd.toml"] {
        assert!(text.lines().any(|found| words(found) == line), "{text}");
    }
    assert!(text.ends_with("the database bearerd.sqlite is intact\n"), "{text}");
}

#[test]
fn check_warns_of_what_is_unsafe() {
    let place = Place::new();
    place.create_ada();
    let file = place.path().join("bearerd.sqlite");
    let warnings = |arguments: &[&str]| {
        let report = place.print(&[&["check", "--json"][..], arguments].concat());
        let report: Value = serde_json::from_str(&report).unwrap();
        let warnings = report["warnings"].as_array().unwrap();
        warnings.iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&["--bcrypt-cost", "12"]), [""; 0]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let all = warnings(&["--listen", "0.0.0.0:8080"]);
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0].starts_with("bcrypt_cost is 4: "));
    assert!(all[1].starts_with("listen is 0.0.0.0:8080: "));
    assert!(all[2].starts_with("bearerd.sqlite has the mode 640: "));
}

#[test]
fn check_finds_a_damaged_database() {
    let place = Place::new();
    place.create_ada();
    place.issue();
    assert_eq!(check(&place, "bearerd.sqlite").0, Some(0));
    damage(&place, "tokens");
    let (code, report) = check(&place, "bearerd.sqlite");
    assert_eq!(code, Some(1));
    assert!(!report["database"]["faults"].as_array().unwrap().is_empty(), "{report}");
    let output = place.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the database bearerd.sqlite is damaged"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\nfault: "));
}

#[test]
fn check_shows_the_settings_of_a_database_that_can_not_be_opened() {
    let place = Place::new();
    fs::write(place.path().join("text"), "no database, but long enough. ".repeat(30)).unwrap();
    let (code, report) = check(&place, "text");
    assert_eq!(code, Some(1));
    assert_eq!(report["settings"][0]["value"], "sqlite://text");
    assert!(report["database"]["faults"][0].as_str().unwrap().contains("not a SQLite database"));
}

#[test]
fn check_before_the_first_start_creates_nothing() {
    let place = Place::new();
    let text = place.print(&["check"]);
    assert!(
        text.ends_with(
            "the database bearerd.sqlite does not exist yet; `bearerd serve` creates it\n"
        ),
        "{text}"
    );
    assert_eq!(names(&place), [""; 0]);
}

#[test]
fn completions_are_there_for_each_shell_whatever_the_settings_are() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = place.command(&["completions", shell]).env("BEARERD_X", "").output().unwrap();
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("token-prefix") && script.contains("backup"), "{shell}");
    }
    assert_eq!(place.run(&["completions", "csh"]).status.code(), Some(2));
}
