use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{Place, Serving, db_damage};

/// A server on a database with two tokens, and a backup of that.
struct Replaceable {
    place: Place,
    server: Serving,
    tokens: [String; 2],
}

fn start() -> Replaceable {
    let place = Place::new();
    place.create_ada();
    let tokens = [place.issue(), place.issue()];
    place.print(&["backup", "copy.sqlite"]);
    let server = serve(&place);
    let replaceable = Replaceable { place, server, tokens };
    replaceable.server.await_status(&replaceable.tokens[0], 200);
    replaceable
}

/// Starts a server whose log goes to the file `log`.
fn serve(place: &Place) -> Serving {
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--log", "info"]);
    let log = fs::File::options().create(true).append(true).open(place.path().join("log"));
    command.stderr(log.unwrap());
    Serving::start(command)
}

impl Replaceable {
    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn ready(&self) -> u16 {
        self.send("GET", "/readyz", "none")
    }

    fn send(&self, method: &str, path: &str, token: &str) -> u16 {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server.url))
            .header("Authorization", format!("Bearer {token}"));
        agent.run(request.body(()).unwrap()).unwrap().status().as_u16()
    }

    /// The log, once it has this text. The server answers before its log is written.
    fn log_with(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let log = fs::read_to_string(self.path("log")).unwrap();
            if log.contains(text) {
                return log;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "no {text}: {log}");
            std::thread::yield_now();
        }
    }

    /// Asserts that nothing is answered from the store, and that the log says why.
    fn assert_closed(&self, event: &str) {
        self.server.await_status(&self.tokens[0], 503);
        assert_eq!(self.ready(), 503);
        assert_eq!(self.send("DELETE", "/api/tokens/current", &self.tokens[1]), 503);
        let log = self.log_with("while the server was running");
        let told = log.lines().filter(|line| line.contains("while the server was running"));
        let told: Vec<_> = told.collect();
        assert_eq!(told.len(), 1, "{log}");
        assert!(told[0].contains(event) && told[0].contains("restart the server"), "{log}");
    }

    fn assert_open(&self) {
        self.server.await_status(&self.tokens[0], 200);
        assert_eq!(self.server.status(&self.tokens[1]), 200);
        self.log_with("is back");
    }

    /// Stops the server and starts another one.
    fn restart(&mut self) {
        assert_eq!(self.server.signal("-TERM"), Some(0));
        self.server = serve(&self.place);
    }
}

#[test]
fn a_file_that_is_replaced_closes_the_server_until_the_open_one_is_back() {
    let it = start();
    // At no time is there no file.
    fs::hard_link(it.path("bearerd.sqlite"), it.path("away")).unwrap();
    it.rename("copy.sqlite", "bearerd.sqlite");
    it.assert_closed("bearerd.sqlite was replaced");
    it.rename("away", "bearerd.sqlite");
    it.assert_open();
}

#[test]
fn no_write_is_acknowledged_once_the_file_is_replaced() {
    let it = start();
    it.rename("copy.sqlite", "bearerd.sqlite");
    assert_eq!(it.send("DELETE", "/api/tokens/current", &it.tokens[1]), 503);
    it.assert_closed("bearerd.sqlite was replaced");
}

#[test]
fn a_restart_uses_the_file_that_took_the_place_of_the_open_one() {
    let mut it = start();
    // After the backup, so that it is in the log of the open file alone.
    let late = it.place.issue();
    it.rename("copy.sqlite", "bearerd.sqlite");
    it.assert_closed("bearerd.sqlite was replaced");
    it.restart();
    assert_eq!(it.server.status(&it.tokens[0]), 200);
    assert_eq!(it.server.status(&late), 401);
    assert_eq!(it.server.signal("-TERM"), Some(0));
    assert_eq!(it.place.check("bearerd.sqlite").0, Some(0));
}

#[test]
fn a_shutdown_leaves_the_log_of_a_file_that_took_the_place_of_the_open_one() {
    let mut it = start();
    let other = start();
    let late = other.place.issue();
    for name in ["bearerd.sqlite", "bearerd.sqlite-wal"] {
        fs::copy(other.path(name), it.path("new")).unwrap();
        it.rename("new", name);
    }
    it.assert_closed("bearerd.sqlite was replaced");
    it.restart();
    assert_eq!(it.server.status(&late), 200);
    assert_eq!(it.server.status(&it.tokens[0]), 401);
}

#[test]
fn a_deleted_file_closes_the_server_and_is_not_created_again() {
    let mut it = start();
    fs::remove_file(it.path("bearerd.sqlite")).unwrap();
    it.assert_closed("bearerd.sqlite was moved or deleted");
    assert_eq!(it.server.signal("-TERM"), Some(0));
    assert!(!it.path("bearerd.sqlite").exists());
}

#[test]
fn a_deleted_log_closes_the_server_and_loses_nothing() {
    let mut it = start();
    let late = it.place.issue();
    it.server.await_status(&late, 200);
    fs::remove_file(it.path("bearerd.sqlite-wal")).unwrap();
    it.assert_closed("bearerd.sqlite-wal was moved or deleted");
    it.restart();
    assert_eq!(it.server.status(&late), 200);
}

#[test]
fn a_renamed_folder_closes_the_server_until_it_is_back() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let server = place.serve();
    server.await_status(&token, 200);
    let away = tempfile::tempdir().unwrap().path().join("away");
    fs::create_dir_all(away.parent().unwrap()).unwrap();
    fs::rename(place.path(), &away).unwrap();
    server.await_status(&token, 503);
    fs::rename(&away, place.path()).unwrap();
    server.await_status(&token, 200);
    fs::remove_dir(away.parent().unwrap()).unwrap();
}

#[test]
fn a_damaged_table_makes_the_server_not_ready() {
    let it = start();
    assert_eq!(it.ready(), 200);
    db_damage(&it.place, "tokens");
    let start = Instant::now();
    // One answer serves all who ask within a second.
    while it.ready() == 200 {
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
