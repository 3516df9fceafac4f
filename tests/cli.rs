//! The program, as a person starts it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with a database in it, and the program at work there.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
        command.current_dir(self.path()).args(arguments);
        command.env("BEARERD_BCRYPT_COST", "4").env("BEARERD_LOG", "error");
        command
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that refuses its arguments reads nothing.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, "")
    }

    /// What a command prints, if it succeeds.
    fn print(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn create_ada(&self) {
        let create = ["user", "create", "--email", "ada@example.org", "--name", "Ada"];
        let output = self.run_with_input(&create, "correct horse\nsecond line\n");
        assert!(output.status.success(), "{}", stderr(&output));
    }

    fn issue(&self) -> String {
        let token = self.print(&["token", "issue", "--email", "ada@example.org", "--name", "ci"]);
        token.trim_end().to_owned()
    }

    fn serve(&self) -> Serving {
        Serving::start(self.command(&["serve", "--listen", "127.0.0.1:0"]))
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("bearerd listening on ").unwrap().to_owned();
        Self { child, url }
    }

    fn status(&self, token: &str) -> u16 {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent
            .get(format!("{}/api/user", self.url))
            .header("Authorization", format!("Bearer {token}"));
        request.call().unwrap().status().as_u16()
    }

    /// Waits until the server answers so: a second, and what a busy machine adds.
    fn await_status(&self, token: &str, expected: u16) {
        let start = Instant::now();
        while self.status(token) != expected {
            assert!(start.elapsed() < Duration::from_secs(3), "the server heeded nobody");
        }
    }

    fn signal(&mut self, signal: &str) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn users_are_created_and_listed() {
    let place = Place::new();
    place.create_ada();
    let create = ["user", "create", "--email", "bob@example.org", "--name", "Bob", "--admin"];
    let abilities = ["--ability", "posts:read", "--ability", "posts:write"];
    let output = place.run_with_input(&[&create[..], &abilities].concat(), "another password\n");
    assert!(output.status.success(), "{}", stderr(&output));
    let rows: Value = serde_json::from_str(&place.print(&["user", "list", "--json"])).unwrap();
    assert_eq!(rows[0]["email"], "ada@example.org");
    assert_eq!(rows[0]["abilities"], json!(["*"]));
    assert_eq!(rows[1]["admin"], true);
    assert_eq!(rows[1]["abilities"], json!(["posts:read", "posts:write"]));
    let table = place.print(&["user", "list"]);
    assert!(table.starts_with("ID  EMAIL"), "{table}");
    assert_eq!(table.lines().count(), 3);
}

#[test]
fn users_are_shown_changed_and_deleted_beside_a_running_server() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let server = place.serve();
    assert_eq!(server.status(&token), 200, "now it is cached");
    let ada = "ada@example.org";
    assert_eq!(
        place.print(&["user", "disable", "ADA@example.org"]),
        "disabled user ada@example.org\n"
    );
    server.await_status(&token, 401);
    place.print(&["user", "enable", ada]);
    server.await_status(&token, 200);
    place.print(&["user", "abilities", ada, "posts:read", "posts:write"]);
    let shown: Value =
        serde_json::from_str(&place.print(&["user", "show", ada, "--json"])).unwrap();
    assert_eq!(shown["abilities"], json!(["posts:read", "posts:write"]));
    let output = place.run_with_input(&["user", "password", ada], "a new password\n");
    assert!(output.status.success(), "{}", stderr(&output));
    server.await_status(&token, 401);
    place.print(&["user", "delete", ada]);
    let nobody = place.run(&["user", "show", ada]);
    assert_eq!(
        (nobody.status.code(), stderr(&nobody).as_str()),
        (Some(1), "bearerd: there is no such user\n")
    );
}

#[test]
fn an_email_is_taken_once() {
    let place = Place::new();
    place.create_ada();
    let again = ["user", "create", "--email", "ADA@example.org", "--name", "Ada"];
    let output = place.run_with_input(&again, "correct horse\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "bearerd: The email has already been taken.\n");
}

#[test]
fn bad_arguments_are_named_and_exit_with_2() {
    let place = Place::new();
    for (arguments, input, text) in [
        (
            &["user", "create", "--email", "ada", "--name", "A"][..],
            "long enough\n",
            "--email must be",
        ),
        (
            &["user", "create", "--email", "a@b.c", "--name", " "],
            "long enough\n",
            "--name is required",
        ),
        (
            &["user", "create", "--email", "a@b.c", "--name", "A"],
            "short\n",
            "at least 8 characters",
        ),
        (&["user", "create", "--email", "a@b.c", "--name", "A"], "", "the password is required"),
        (&["user", "create", "--name", "A"], "", "--email"),
        (
            &["user", "create", "--email", "a@b.c", "--name", "A", "--ability", "a b"],
            "long enough\n",
            "--ability must contain",
        ),
        (
            &["token", "issue", "--email", "a@b.c", "--name", "x", "--expires-in", "soon"],
            "",
            "--expires-in must be a duration",
        ),
        (&["token", "revoke", "x"], "", "invalid value"),
        (&["prune", "--hours", "-1"], "", "-1"),
        (&["serve", "--listen", "everywhere"], "", "--listen on the command line"),
        (&["serve", "--demo", "--listen", "0.0.0.0:0"], "", "loopback"),
        (&["nonsense"], "", "nonsense"),
        (&[], "", "Usage"),
    ] {
        let output = place.run_with_input(arguments, input);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(text), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"));
    }
}

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

#[test]
fn processes_that_start_at_once_agree_on_a_new_database() {
    let place = Place::new();
    let starting: Vec<_> = (0..6)
        .map(|_| {
            let mut command = place.command(&["user", "list"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in starting {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

#[test]
fn no_secret_is_logged_at_any_level() {
    let place = Place::new();
    place.create_ada();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--log", "trace"]);
    let log = place.path().join("log");
    command.stderr(fs::File::create(&log).unwrap());
    let mut server = Serving::start(command);
    let body = json!({"email": "ada@example.org", "password": "correct horse", "device_name": "x"});
    let mut answer = ureq::post(format!("{}/api/tokens", server.url)).send_json(body).unwrap();
    let answer: Value = answer.body_mut().read_json().unwrap();
    let token = answer["token"].as_str().unwrap();
    assert_eq!(server.status(token), 200);
    assert_eq!(server.status(&token[..50]), 401);
    assert_eq!(server.signal("-TERM"), Some(0));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("TRACE"));
    for secret in [&token[3..40], "correct horse", "$2b$", "Bearer "] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[test]
fn signals_end_the_server_well() {
    for signal in ["-TERM", "-INT"] {
        let place = Place::new();
        place.create_ada();
        let mut server = place.serve();
        let token = place.issue();
        assert_eq!(server.status(&token), 200);
        assert_eq!(server.signal(signal), Some(0));
        let rows: Value = serde_json::from_str(&place.print(&["token", "list", "--json"])).unwrap();
        assert!(rows[0]["last_used_at"].is_string(), "{rows}");
    }
}

#[test]
fn a_request_under_way_is_finished_at_shutdown() {
    let place = Place::new();
    place.create_ada();
    let mut server = place.serve();
    let body = r#"{"email":"ada@example.org","password":"correct horse","device_name":"x"}"#;
    let (first, rest) = body.split_at(20);
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /api/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The handler is waiting for the body when it asks for it.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    stream.write_all(first.as_bytes()).unwrap();
    let id = server.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 201 Created"), "{answer}");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

/// Starts a server that must fail, and gives the one line that says why.
fn refusal(command: &mut Command) -> String {
    let output = command.env_remove("BEARERD_BCRYPT_COST").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    let message = stderr(&output);
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[test]
fn a_database_that_can_not_be_used_is_one_clear_line() {
    let place = Place::new();
    let path = |name: &str| place.path().join(name);
    fs::write(path("text.sqlite"), "no database, but long enough to be read. ".repeat(30)).unwrap();
    fs::create_dir(path("folder.sqlite")).unwrap();
    place.print(&["--database-url", "sqlite://newer.sqlite", "user", "list"]);
    let newer = path("newer.sqlite").to_string_lossy().into_owned();
    SqliteConnection::establish(&newer)
        .unwrap()
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000')")
        .unwrap();
    for (name, text) in [
        ("missing/x.sqlite", "can't open the database"),
        ("folder.sqlite", "can't open the database"),
        ("text.sqlite", "is not a SQLite database"),
        ("newer.sqlite", "newer than this program: it has the migration 99991231000000"),
    ] {
        let url = format!("sqlite://{name}");
        let message = refusal(&mut place.command(&[
            "--database-url",
            &url,
            "serve",
            "--listen",
            "127.0.0.1:0",
        ]));
        assert!(message.contains(text) && message.contains(name), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn a_read_only_database_is_one_clear_line() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.create_ada();
    let file = place.path().join("bearerd.sqlite");
    for (path, mode) in [(file.as_path(), 0o444), (place.path(), 0o555)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut serve = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    // Whom permissions don't hold back becomes somebody whom they do.
    let message = match fs::OpenOptions::new().write(true).open(&file) {
        Err(_) => refusal(&mut serve),
        Ok(_) => {
            // The build's folder may be closed to others.
            let program = tempfile::tempdir().unwrap();
            let copy = program.path().join("bearerd");
            fs::copy(serve.get_program(), &copy).unwrap();
            fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let mut nobody = Command::new("setpriv");
            nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
            refusal(nobody.args(serve.get_args()).current_dir(place.path()))
        }
    };
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(message.contains("bearerd.sqlite is read-only"), "{message}");
}

#[test]
fn an_address_in_use_is_one_clear_line() {
    let place = Place::new();
    place.create_ada();
    let server = place.serve();
    let address = server.url.strip_prefix("http://").unwrap();
    let output = place.run(&["serve", "--listen", address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("can't listen on {address}")), "{}", stderr(&output));
}

#[test]
fn the_demo_shows_its_user_and_leaves_nothing_behind() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--demo", "--listen", "127.0.0.1:0"]);
    command.env("TMPDIR", place.path());
    let mut server = Serving::start(command);
    let page = ureq::get(&server.url).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(page.contains(r#"<meta name="bearerd-demo-email" content="demo@example.org">"#));
    assert_eq!(server.signal("-TERM"), Some(0));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owners_eyes_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let _server = place.serve();
    let files: Vec<_> = fs::read_dir(place.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 3, "the database and its two companions");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{file:?}");
    }
}

/// Writes a new certificate for 127.0.0.1 and its key, and gives the certificate.
fn write_certificate(place: &Place) -> String {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(place.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(place.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

/// Whether a client that trusts this certificate alone gets an answer.
fn is_answered(server: &Serving, cert: &str) -> bool {
    use ureq::tls::{Certificate, RootCerts, TlsConfig};
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(cert.as_bytes()).unwrap()]);
    let tls = TlsConfig::builder().root_certs(roots).build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    agent.get(format!("{}/healthz", server.url)).call().is_ok()
}

/// Hangs up on the server, and waits until its log says this.
fn hang_up(server: &Serving, log: &Path, expected: &str) {
    let id = server.child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    let start = Instant::now();
    while !fs::read_to_string(log).unwrap().contains(expected) {
        assert!(start.elapsed() < Duration::from_secs(10), "{}", fs::read_to_string(log).unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
}

const TLS: [&str; 4] = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--log", "info"];

#[test]
fn a_hangup_brings_the_new_certificate_and_bad_files_keep_the_old() {
    let place = Place::new();
    let first = write_certificate(&place);
    let log = place.path().join("log");
    let mut command = place.command(&[&SERVE[..], &TLS].concat());
    command.stderr(fs::File::create(&log).unwrap());
    let mut server = Serving::start(command);
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    assert!(is_answered(&server, &first));

    let second = write_certificate(&place);
    assert!(is_answered(&server, &first), "nobody has hung up");
    hang_up(&server, &log, "the certificate has been read again");
    assert!(is_answered(&server, &second) && !is_answered(&server, &first));

    fs::write(place.path().join("key.pem"), "half a ke").unwrap();
    hang_up(&server, &log, "stays as it was: key.pem holds no unencrypted private key in PEM");
    assert!(is_answered(&server, &second));
    assert_eq!(server.signal("-TERM"), Some(0));
}

#[test]
fn a_hangup_does_not_end_a_server_without_https() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let log = place.path().join("log");
    let mut command = place.command(&SERVE);
    command.stderr(fs::File::create(&log).unwrap());
    let server = Serving::start(command);
    hang_up(&server, &log, "there is nothing to read again");
    assert_eq!(server.status(&token), 200);
}

#[test]
fn a_certificate_that_can_not_be_used_is_one_clear_line() {
    let place = Place::new();
    let path = |name: &str| place.path().join(name);
    write_certificate(&place);
    fs::rename(path("key.pem"), path("other.pem")).unwrap();
    write_certificate(&place);
    fs::write(path("empty.pem"), "").unwrap();
    fs::write(path("torn.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n").unwrap();
    for (cert, key, text) in [
        ("none.pem", "key.pem", "can't read none.pem: No such file"),
        ("cert.pem", "none.pem", "can't read none.pem: No such file"),
        ("empty.pem", "key.pem", "empty.pem holds no certificate"),
        ("key.pem", "key.pem", "key.pem holds no certificate"),
        ("torn.pem", "key.pem", "torn.pem is not a PEM file"),
        ("cert.pem", "cert.pem", "cert.pem holds no unencrypted private key"),
        ("cert.pem", "other.pem", "the key in other.pem can't be used with the certificate in"),
    ] {
        let tls = ["--tls-cert", cert, "--tls-key", key];
        let message = refusal(&mut place.command(&[&SERVE[..], &tls].concat()));
        assert!(message.contains(text), "{cert}, {key}: {message}");
        assert!(!path("bearerd.sqlite").exists());
    }
    let half = place.run(&[&SERVE[..], &TLS[..2]].concat());
    assert_eq!(half.status.code(), Some(2));
    assert!(stderr(&half).contains("tls_cert is set without tls_key"), "{}", stderr(&half));
}

#[test]
fn listening_beyond_loopback_without_https_is_warned_of() {
    let place = Place::new();
    write_certificate(&place);
    for (address, tls, warns) in
        [("0.0.0.0:0", &[][..], true), ("0.0.0.0:0", &TLS, false), ("127.0.0.1:0", &[], false)]
    {
        let serve = ["serve", "--log", "warn", "--listen", address];
        let log = place.path().join("log");
        let mut command = place.command(&[&serve, tls].concat());
        command.stderr(fs::File::create(&log).unwrap());
        drop(Serving::start(command));
        let log = fs::read_to_string(log).unwrap();
        assert_eq!(log.contains("without HTTPS"), warns, "{address} {tls:?}: {log}");
    }
}
