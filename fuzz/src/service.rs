//! bearerd's routes, called without a socket. The database is a temporary file.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use actix_web::App;
use actix_web::http::header::HeaderMap;
use actix_web::rt::System;
use actix_web::test::{TestRequest, init_service};
use bearerd::Bearerd;
use bearerd::auth::{Actor, NewUser, TokenRequest};
use bearerd::config::Config;
use bearerd::domain::{Abilities, Email, Lifetime, Name, Password, Timestamp};
use serde_json::Value;

/// The abilities of the token: every ability, and the reserved ones by name.
const ABILITIES: [&str; 6] =
    ["*", "tokens:write", "account:write", "admin", "introspect", "events:read"];

/// The routes, and a live token of an administrator.
pub struct Service {
    send: Box<dyn Fn(TestRequest) -> Answer>,
    /// The token's string.
    pub token: String,
    /// The token's id.
    pub token_id: i64,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A folder for files that need not last. `fuzz/run` sets `TMPDIR` to a place in memory.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for temporary files")
}

impl Service {
    /// Opens a new database with these settings. The time advances by a second with each request.
    pub fn start(config: Config) -> Self {
        let folder = folder();
        let config = Config {
            database: folder.path().join("bearerd.sqlite"),
            bcrypt_cost: 4,
            token_ttl: Lifetime::NEVER,
            retention: Duration::ZERO,
            sweep_interval: Duration::from_secs(1),
            ..config
        };
        let time = Arc::new(AtomicI64::new(1_800_000_000));
        let clock = time.clone();
        let system = System::new();
        let (bearerd, issued) = system.block_on(async {
            let clock = Arc::new(move || Timestamp::from_unix(clock.load(Ordering::Relaxed)));
            let bearerd = Bearerd::open_at(&config, clock).expect("a new database");
            let email = Email::parse("ada@example.org").expect("an email");
            let name = Name::parse("Ada").expect("a name");
            let user = NewUser {
                name: name.clone(),
                email: email.clone(),
                password: Password::chosen("correct horse".to_owned()).expect("a password"),
                abilities: Abilities::all(),
                admin: true,
            };
            bearerd.auth().create_user(Actor::Operator, user).await.expect("a user");
            let abilities = Abilities::parse(ABILITIES).ok();
            let request = TokenRequest { name, abilities, expires_in: None };
            let issued = bearerd.auth().issue(email, request).await.expect("a token");
            (bearerd, issued)
        });
        let app = system.block_on(init_service(App::new().configure(bearerd.routes())));
        let send = move |request: TestRequest| {
            let _kept = &folder;
            time.fetch_add(1, Ordering::Relaxed);
            system.block_on(async {
                let peer = SocketAddr::from(([127, 0, 0, 1], 1));
                // A refusal of the guard comes as an error, which a server would turn into this answer.
                let request = request.peer_addr(peer).to_request();
                let answer = match actix_web::dev::Service::call(&app, request).await {
                    Ok(answer) => answer.into_parts().1.map_into_boxed_body(),
                    Err(error) => error.error_response(),
                };
                let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
                let body = actix_web::body::to_bytes(answer.into_body()).await.unwrap_or_default();
                Answer { status, headers, body: body.to_vec() }
            })
        };
        let (token, token_id) = (issued.plain.expose().to_owned(), issued.token.id);
        Self { send: Box::new(send), token, token_id }
    }

    /// Sends a request with the token.
    pub fn send(&self, request: TestRequest) -> Answer {
        self.send_as_is(request.insert_header(("Authorization", format!("Bearer {}", self.token))))
    }

    /// Whether this sends the token: its string, or its id, a bar and its string (Laravel Sanctum's form).
    pub fn is_token(&self, sent: &[u8]) -> bool {
        let (id, string) = match sent.iter().position(|&byte| byte == b'|') {
            Some(bar) => (str::from_utf8(&sent[..bar]).ok(), &sent[bar + 1..]),
            None => (None, sent),
        };
        let names = |id: &str| {
            id.bytes().all(|byte| byte.is_ascii_digit()) && id.parse() == Ok(self.token_id)
        };
        string == self.token.as_bytes() && (string == sent || id.is_some_and(names))
    }

    /// Sends a request.
    pub fn send_as_is(&self, request: TestRequest) -> Answer {
        let answer = (self.send)(request);
        answer.check();
        answer
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body in JSON")
    }

    /// No input makes the server fail, and each refusal says what is wrong, as docs/http.md promises.
    fn check(&self) {
        let text = String::from_utf8_lossy(&self.body);
        assert!(self.status < 500, "{} {text}", self.status);
        if self.status >= 400 {
            let body = self.json();
            assert!(body["message"].is_string() && body["code"].is_string(), "{text}");
            assert_eq!(self.status == 422, body["errors"].is_object(), "{text}");
            assert_eq!(self.status == 401, self.headers.contains_key("www-authenticate"), "{text}");
        }
    }
}
