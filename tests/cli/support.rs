//! The program in a folder of its own, and a server that it started.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bearerd::app::{self, Services};
use bearerd::auth::Check;
use bearerd::config::Config;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde_json::Value;
use tempfile::TempDir;

/// A folder for a database, in which the program is run.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
        command.current_dir(self.path()).args(arguments);
        command.env("BEARERD_BCRYPT_COST", "4").env("BEARERD_LOG", "error");
        command
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
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

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, "")
    }

    /// Runs a command that must succeed. Returns its standard output.
    pub fn print(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn create_ada(&self) {
        let create = ["user", "create", "--email", "ada@example.org", "--name", "Ada"];
        let output = self.run_with_input(&create, "correct horse\nsecond line\n");
        assert!(output.status.success(), "{}", stderr(&output));
    }

    pub fn issue(&self) -> String {
        let token = self.print(&["token", "issue", "--email", "ada@example.org", "--name", "ci"]);
        token.trim_end().to_owned()
    }

    /// Runs `check` on a database. Gives the exit code and the report.
    pub fn check(&self, database: &str) -> (Option<i32>, Value) {
        let url = format!("sqlite://{database}");
        let output = self.run(&["check", "--json", "--database-url", &url]);
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
    }

    /// The settings of a database in the folder, for use through the library.
    pub fn config(&self, database: &str) -> Config {
        let database = self.path().join(database);
        Config { database, bcrypt_cost: 4, max_tokens_per_user: None, ..Config::default() }
    }

    /// The names of the files in the folder, sorted.
    pub fn file_names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub fn db_connect(&self) -> SqliteConnection {
        let path = self.path().join("bearerd.sqlite");
        SqliteConnection::establish(path.to_str().unwrap()).unwrap()
    }

    pub fn serve(&self) -> Serving {
        Serving::start(self.command(&["serve", "--listen", "127.0.0.1:0"]))
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Overwrites the root page of a table.
pub fn db_damage(place: &Place, table: &str) {
    #[derive(QueryableByName)]
    struct Root {
        #[diesel(sql_type = BigInt)]
        rootpage: i64,
    }
    let query = format!("SELECT rootpage FROM sqlite_master WHERE name = '{table}'");
    let root: Root = diesel::sql_query(query).get_result(&mut place.db_connect()).unwrap();
    let path = place.path().join("bearerd.sqlite");
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&[0xA5; 4096], (root.rootpage as u64 - 1) * 4096).unwrap();
}

/// Counts the tokens that a database accepts.
pub fn count_accepted(config: &Config, tokens: &[String]) -> usize {
    app::block_on(async {
        let services = Services::open(config, app::system_clock()).unwrap();
        let mut accepted = 0;
        for token in tokens {
            let Check::Unknown(presented) = services.auth.check(token.as_bytes()) else {
                panic!("a token is cached before it was looked up");
            };
            accepted += usize::from(services.auth.look_up(&presented).await.is_ok());
        }
        services.close().await;
        accepted
    })
}

/// Starts a server that must fail. Returns the one line that it prints.
pub fn refusal(command: &mut Command) -> String {
    let output = command.env_remove("BEARERD_BCRYPT_COST").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    let message = stderr(&output);
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

pub struct Serving {
    pub child: Child,
    pub url: String,
}

impl Serving {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("bearerd listening on ").unwrap().to_owned();
        Self { child, url }
    }

    pub fn status(&self, token: &str) -> u16 {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent
            .get(format!("{}/api/user", self.url))
            .header("Authorization", format!("Bearer {token}"));
        request.call().unwrap().status().as_u16()
    }

    /// Waits until the server answers with this status: a second, or longer on a busy machine.
    pub fn await_status(&self, token: &str, expected: u16) {
        let start = Instant::now();
        while self.status(token) != expected {
            assert!(start.elapsed() < Duration::from_secs(3), "the server did not see the change");
        }
    }

    pub fn signal(&mut self, signal: &str) -> Option<i32> {
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
