//! A server for a test, a clock that the test sets, and a client. Some helpers call the service instead of
//! HTTP; those that access the file directly begin with `db_`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use bearerd::Bearerd;
use bearerd::app::{self, Limits};
use bearerd::auth::{self, Actor, Auth, NewUser, TokenRequest};
use bearerd::config::Config;
use bearerd::domain::{Abilities, Clock, Email, Name, Password, Timestamp};
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::oneshot;

pub const EMAIL: &str = "ada@example.org";
pub const ADMIN: &str = "root@example.org";
pub const PASSWORD: &str = "correct horse battery";
/// 2026-01-01T00:00:00Z, the time at which every test begins.
pub const START: i64 = 1_767_225_600;

pub struct Server {
    pub address: SocketAddr,
    pub bearerd: Bearerd,
    pub auth: Auth,
    pub config: Config,
    now: Arc<AtomicI64>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    folder: Option<TempDir>,
}

/// Starts a server with default settings and the user Ada.
pub fn start() -> Server {
    start_with(|_| ())
}

pub fn start_with(change: impl FnOnce(&mut Config)) -> Server {
    let (folder, mut config) = settings();
    change(&mut config);
    let server = launch(folder, config, Arc::new(AtomicI64::new(START)));
    server.create_user(EMAIL, PASSWORD, &["*"]);
    server
}

/// Starts a server with other settings and other limits of connections.
pub fn start_with_limits(change: impl FnOnce(&mut Config, &mut Limits)) -> Server {
    let (folder, mut config) = settings();
    let mut limits = Limits::new(1000);
    change(&mut config, &mut limits);
    let server = launch_with(folder, config, limits, Arc::new(AtomicI64::new(START)));
    server.create_user(EMAIL, PASSWORD, &["*"]);
    server
}

/// Starts a server on the database that this SQL creates.
pub fn start_on(sql: &str) -> Server {
    let (folder, config) = settings();
    let path = config.database.to_string_lossy();
    SqliteConnection::establish(&path).unwrap().batch_execute(sql).unwrap();
    launch(folder, config, Arc::new(AtomicI64::new(START)))
}

fn settings() -> (TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        database: folder.path().join("test.sqlite"),
        listen: ([127, 0, 0, 1], 0).into(),
        bcrypt_cost: 4,
        // So that only tests of the limit reach it.
        login_attempts_per_minute: 1000,
        ..Config::default()
    };
    (folder, config)
}

fn launch(folder: TempDir, config: Config, now: Arc<AtomicI64>) -> Server {
    launch_with(folder, config, Limits::new(1000), now)
}

fn launch_with(folder: TempDir, config: Config, limits: Limits, now: Arc<AtomicI64>) -> Server {
    let reading = now.clone();
    let clock: Clock = Arc::new(move || Timestamp::from_unix(reading.load(Ordering::SeqCst)));
    let (stop, stopped) = oneshot::channel();
    let (started, parts) = mpsc::channel();
    let settings = config.clone();
    let thread = std::thread::spawn(move || {
        app::block_on(async {
            let server = app::Server::start_with(&settings, clock, None, limits).await.unwrap();
            started.send((server.address(), server.bearerd().clone())).unwrap();
            server.run_until(async { stopped.await.unwrap_or(()) }).await.unwrap();
        });
    });
    let (address, bearerd) = parts.recv().unwrap();
    Server {
        address,
        auth: bearerd.auth().clone(),
        bearerd,
        config,
        now,
        running: Some((stop, thread)),
        folder: Some(folder),
    }
}

impl Server {
    pub fn create_user(&self, email: &str, password: &str, abilities: &[&str]) {
        let account = NewUser {
            name: Name::parse("Ada Lovelace").unwrap(),
            email: Email::parse(email).unwrap(),
            password: Password::chosen(password.to_owned()).unwrap(),
            abilities: Abilities::parse(abilities).unwrap(),
            admin: false,
        };
        app::block_on(self.auth.create_user(Actor::Operator, account)).unwrap();
    }

    /// Logs Ada in. Returns the token.
    pub fn log_in_with(&self, abilities: &[&str]) -> String {
        let body = json!({
            "email": EMAIL, "password": PASSWORD, "device_name": "test", "abilities": abilities,
        });
        self.log_in(body).token()
    }

    /// Issues a token for Ada as the operator, without a login.
    pub fn issue(&self, abilities: &[&str]) -> String {
        self.issue_for(EMAIL, abilities, None)
    }

    pub fn issue_for(&self, email: &str, abilities: &[&str], expires_in: Option<i64>) -> String {
        let request = TokenRequest {
            name: Name::parse("test").unwrap(),
            abilities: Some(Abilities::parse(abilities).unwrap()),
            expires_in,
        };
        let issued = app::block_on(self.auth.issue(Email::parse(email).unwrap(), request));
        issued.unwrap().plain.expose().to_owned()
    }

    /// Issues a token for Ada as the operator, or returns the error.
    pub fn try_issue(&self, abilities: &[&str]) -> Result<String, auth::Error> {
        let request = TokenRequest {
            name: Name::parse("test").unwrap(),
            abilities: Some(Abilities::parse(abilities).unwrap()),
            expires_in: None,
        };
        let issued = app::block_on(self.auth.issue(Email::parse(EMAIL).unwrap(), request))?;
        Ok(issued.plain.expose().to_owned())
    }

    /// Has a token issue another one without abilities.
    pub fn issue_by(&self, issuer: &str) -> String {
        let body = json!({"device_name": "child", "abilities": []});
        self.send_json("POST", "/api/tokens", issuer, &body).token()
    }

    /// Creates an administrator. Returns a token of theirs with the ability `admin`.
    pub fn issue_admin(&self) -> String {
        self.create_user(ADMIN, PASSWORD, &["*"]);
        self.db_execute(&format!("UPDATE users SET admin = 1 WHERE email = '{ADMIN}'"));
        self.issue_for(ADMIN, &["admin"], None)
    }

    /// Sends JSON with a token.
    pub fn send_json(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        let header = format!("Bearer {token}");
        self.send(method, path, &[("Authorization", &header)], Some(body))
    }

    fn db_connect(&self) -> SqliteConnection {
        let path = self.config.database.to_string_lossy();
        let mut connection = SqliteConnection::establish(&path).unwrap();
        connection.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
        connection
    }

    /// Runs SQL on the server's file, as another process would.
    pub fn db_execute(&self, sql: &str) {
        self.db_connect().batch_execute(sql).unwrap();
    }

    /// The value of `expression` in the only row of `table`.
    pub fn db_text(&self, expression: &str, table: &str) -> String {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            text: String,
        }
        let query = diesel::sql_query(format!("SELECT {expression} AS text FROM {table}"));
        query.get_result::<Row>(&mut self.db_connect()).unwrap().text
    }

    /// Waits until the server has seen the writes of other processes. It looks for them before each of its
    /// own writes, so this makes a write that changes nothing.
    pub fn see_other_writes(&self) {
        app::block_on(self.auth.revoke(Actor::Operator, -1, None)).unwrap_err();
    }

    /// The value in `/metrics` for this name with its labels.
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.send("GET", "/metrics", &[], None).body;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
    }

    /// Runs SQL in a transaction that commits after `passwords` of the request have been checked or hashed.
    /// So the request has read the rows before the change, and writes after it.
    pub fn db_change_during(
        &self,
        sql: &str,
        passwords: u64,
        request: impl FnOnce() -> Answer + Send,
    ) -> Answer {
        let hashed = || {
            let metrics = self.send("GET", "/metrics", &[], None).body;
            let count = metrics.lines().find_map(|line| {
                line.strip_prefix("bearerd_password_hash_duration_seconds_count ")?.parse().ok()
            });
            count.unwrap_or(0_u64)
        };
        let before = hashed();
        let path = self.config.database.to_string_lossy();
        let mut connection = SqliteConnection::establish(&path).unwrap();
        let begin = format!("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE; {sql}");
        connection.batch_execute(&begin).unwrap();
        std::thread::scope(|scope| {
            let answer = scope.spawn(request);
            while hashed() < before + passwords && !answer.is_finished() {
                std::thread::yield_now();
            }
            connection.batch_execute("COMMIT").unwrap();
            answer.join().unwrap()
        })
    }

    /// Sets the server's clock to this many seconds after [`START`].
    pub fn set_clock(&self, seconds: i64) {
        self.now.store(START + seconds, Ordering::SeqCst);
    }

    pub fn log_in(&self, body: Value) -> Answer {
        self.send("POST", "/api/tokens", &[], Some(&body))
    }

    pub fn get(&self, path: &str, token: &str) -> Answer {
        self.with_token("GET", path, token)
    }

    pub fn delete(&self, path: &str, token: &str) -> Answer {
        self.with_token("DELETE", path, token)
    }

    pub fn with_token(&self, method: &str, path: &str, token: &str) -> Answer {
        let header = format!("Bearer {token}");
        self.send(method, path, &[("Authorization", &header)], None)
    }

    /// Posts an HTML form.
    pub fn send_form(&self, path: &str, headers: &[(&str, &str)], form: &str) -> Answer {
        let mut request = agent().post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        Answer::read(request.send(form).unwrap())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let agent = agent();
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => {
                request = request.header("Content-Type", "application/json");
                agent.run(request.body(body.to_string()).unwrap())
            }
            None => agent.run(request.body(()).unwrap()),
        };
        Answer::read(response.unwrap())
    }

    /// Sends these bytes unchanged. Returns the status and the body of the answer.
    pub fn send_raw(&self, request: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        (status.unwrap_or_else(|| panic!("no answer: {text:?}")), body)
    }

    /// Stops the server as a signal would, and waits for its end.
    pub fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            thread.join().unwrap();
        }
    }

    /// Stops the server, and starts it again on the same file with changed settings.
    pub fn restart(mut self, change: impl FnOnce(&mut Config)) -> Self {
        self.stop();
        let mut config = self.config.clone();
        change(&mut config);
        launch(self.folder.take().unwrap(), config, self.now.clone())
    }
}

/// Sets the access rules of a configuration file, with `naming` as `forward_auth_headers`.
pub fn set_rules(config: &mut Config, naming: &str, rules: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    let naming = ("forward_auth_headers".to_owned(), naming.to_owned());
    let loaded = Config::load(Some(file.path()), [], [naming]).unwrap();
    config.rules = loaded.rules;
    config.forward_auth_headers = loaded.forward_auth_headers;
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .build()
        .into()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: String,
}

impl Answer {
    fn read(mut response: ureq::http::Response<ureq::Body>) -> Self {
        let body = response.body_mut().read_to_string().unwrap();
        Self { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body's field `token`.
    pub fn token(&self) -> String {
        assert_eq!(self.status, 201, "{}", self.body);
        self.json()["token"].as_str().unwrap().to_owned()
    }

    /// Its challenges, in order.
    pub fn challenges(&self) -> Vec<&str> {
        let values = self.headers.get_all("www-authenticate").iter();
        values.map(|value| value.to_str().unwrap()).collect()
    }

    /// Asserts that the guard refused the request with this challenge.
    pub fn assert_refused(&self, challenge: &str) {
        assert_eq!(self.status, 401, "{}", self.body);
        assert_eq!(self.header("www-authenticate"), Some(challenge));
        assert_eq!(self.json()["message"], "Unauthenticated.");
    }
}

/// The SHA-256 of a text, in hex as SQL writes it.
pub fn sha_256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02X}")).collect()
}

pub const NO_CREDENTIALS: &str = r#"Bearer realm="bearerd""#;
pub const INVALID_TOKEN: &str = r#"Bearer realm="bearerd", error="invalid_token""#;
pub const OFFERS_BASIC: &str = r#"Basic realm="bearerd", charset="UTF-8""#;
