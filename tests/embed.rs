//! bearerd inside an application: in `examples/posts.rs`, started as its own process, and in smaller ones.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use actix_web::test as http;
use actix_web::{App, web};
use bearerd::auth::{Actor, Error, NewUser, TokenRequest};
use bearerd::domain::{
    Abilities, Email, ForwardAuthHeaders, Name, Password, PathPattern, Rule, Rules,
};
use bearerd::{Bearerd, Config, CurrentToken, Requirement};
use serde_json::{Value, json};

struct Posts {
    child: Child,
    origin: String,
}

impl Posts {
    fn start(database: &Path) -> Self {
        let mut child = Command::new(example())
            .args([database.as_os_str(), "127.0.0.1:0".as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let origin = line.trim_end().strip_prefix("posts listening on ").unwrap().to_owned();
        Self { child, origin }
    }

    fn send(&self, method: &str, path: &str, token: &str, body: Value) -> (u16, Value) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin))
            .header("Authorization", format!("Bearer {token}"))
            .header("Content-Type", "application/json");
        let request = match body {
            Value::Null => agent.run(request.body(()).unwrap()),
            body => agent.run(request.body(body.to_string()).unwrap()),
        };
        let mut answer = request.unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
    }

    fn log_in(&self, abilities: &[&str]) -> String {
        let body = json!({
            "email": "writer@example.org", "password": "correct horse", "device_name": "x",
            "abilities": abilities,
        });
        let (status, answer) = self.send("POST", "/auth/api/tokens", "", body);
        assert_eq!(status, 201, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }
}

/// Builds the example. Returns its path. With `--test`, cargo builds only the test, so an older build of the
/// example could be there. Cargo makes a concurrent second build wait.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", "posts", "--target-dir"]);
    build.arg(profile.parent().unwrap());
    // Cargo sets these for tests. They would make the build compile some crates again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(name);
        }
    }
    // The folder has the name of the profile, except for the profile `dev`.
    match profile.file_name().unwrap().to_str().unwrap() {
        "debug" => {}
        name => drop(build.args(["--profile", name])),
    }
    assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    profile.join("examples/posts")
}

impl Drop for Posts {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_application_mounts_the_routes_and_guards_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let posts = Posts::start(&folder.path().join("posts.sqlite"));
    let (reader, writer) = (posts.log_in(&["posts:read"]), posts.log_in(&["posts:*"]));
    let get = |path: &str, token: &str| posts.send("GET", path, token, Value::Null);

    assert_eq!(get("/posts", &reader), (200, json!(["first post"])));
    assert_eq!(get("/posts", "bd_nonsense").0, 401);
    let refused = posts.send("POST", "/posts", &reader, json!("second"));
    assert_eq!((refused.0, &refused.1["code"]), (403, &json!("insufficient_scope")));
    assert_eq!(posts.send("POST", "/posts", &writer, json!("second")).0, 201);
    assert_eq!(get("/posts", &reader), (200, json!(["first post", "second"])));

    let refused = posts.send("DELETE", "/posts", &reader, Value::Null);
    assert_eq!(refused, (403, json!({"message": "Token does not have write access."})));
    assert_eq!(posts.send("DELETE", "/posts", &writer, Value::Null).0, 204);

    let (status, page) = get("/auth/api/user", &writer);
    assert_eq!((status, &page["data"]["email"]), (200, &json!("writer@example.org")));
    assert_eq!(posts.send("DELETE", "/auth/api/tokens/current", &reader, Value::Null).0, 204);
    assert_eq!(get("/posts", &reader).0, 401, "the application refuses a revoked token");
    assert_eq!(get("/api/user", &writer).0, 404, "the routes are only below /auth");
}

#[test]
fn links_have_the_prefix_under_which_the_routes_are_mounted() {
    let folder = tempfile::tempdir().unwrap();
    let posts = Posts::start(&folder.path().join("posts.sqlite"));
    let writer = posts.log_in(&["tokens:read"]);
    let (status, page) = posts.send("GET", "/auth/api/tokens", &writer, Value::Null);
    let first = "/auth/api/tokens?page=1&per_page=15";
    assert_eq!((status, &page["links"]["first"]), (200, &json!(first)));
    for path in ["/auth/.well-known/oauth-authorization-server", "/auth/api/openapi.json"] {
        let (status, named) = posts.send("GET", path, "", Value::Null);
        assert_eq!(status, 200);
        assert!(named.to_string().contains(&format!("\"{}/auth", posts.origin)), "{named}");
        assert!(!named.to_string().contains("/auth/docs"), "there are no pages");
    }
    let (status, answer) = posts.send("GET", "/auth/api/nowhere", &writer, Value::Null);
    assert_eq!(
        (status, answer),
        (404, Value::Null),
        "the application answers for an unknown route"
    );
}

/// Opens bearerd on a fresh database. Also returns a token of its only user.
async fn open(folder: &Path) -> (Bearerd, String) {
    let config = Config { database: folder.join("x.sqlite"), bcrypt_cost: 4, ..Config::default() };
    let bearerd = Bearerd::open(&config).unwrap();
    let email = Email::parse("ada@example.org").unwrap();
    let user = NewUser {
        name: Name::parse("Ada").unwrap(),
        email: email.clone(),
        password: Password::chosen("correct horse".to_owned()).unwrap(),
        abilities: Abilities::all(),
        admin: false,
    };
    bearerd.auth().create_user(Actor::Operator, user).await.unwrap();
    let name = Name::parse("x").unwrap();
    let request = TokenRequest { name, abilities: None, expires_in: None };
    let issued = bearerd.auth().issue(email, request).await.unwrap();
    (bearerd, issued.plain.expose().to_owned())
}

#[actix_web::test]
async fn after_close_a_cached_token_is_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (bearerd, token) = open(folder.path()).await;
    assert!(bearerd.auth().authenticate(token.as_bytes()).await.is_ok());
    bearerd.close().await;
    let closed = bearerd.auth().authenticate(token.as_bytes()).await;
    assert!(matches!(closed, Err(Error::Unavailable(_))), "{closed:?}");
}

#[actix_web::test]
async fn a_public_route_inside_another_guard_gets_no_current_token() {
    let folder = tempfile::tempdir().unwrap();
    let (bearerd, token) = open(folder.path()).await;
    let whose = |current: Option<CurrentToken>| async move {
        current.map_or("nobody".to_owned(), |current| current.user.name.to_string())
    };
    let scope = web::scope("/guarded")
        .wrap(bearerd.guard(Requirement::LiveToken))
        .route("/own", web::get().to(whose))
        .route("/open", web::get().to(whose).wrap(bearerd.guard(Requirement::Nothing)));
    let server = http::init_service(App::new().service(scope)).await;
    for (path, name) in [("/guarded/own", "Ada"), ("/guarded/open", "nobody")] {
        let request = http::TestRequest::get()
            .uri(path)
            .insert_header(("Authorization", format!("Bearer {token}")))
            .to_request();
        assert_eq!(http::call_and_read_body(&server, request).await, name, "{path}");
    }
    bearerd.close().await;
}

fn public_rules() -> Rules {
    Rules::new(vec![Rule {
        path: PathPattern::parse("/public/**").ok(),
        ..Rule::any(Requirement::Nothing)
    }])
}

#[actix_web::test]
async fn rules_without_forward_auth_headers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.sqlite");
    let config = Config { database: database.clone(), rules: public_rules(), ..Config::default() };
    let refusal = Bearerd::open(&config).err().unwrap().to_string();
    assert!(refusal.starts_with("rules need forward_auth_headers, "), "{refusal}");
    assert!(!database.exists(), "nothing was started");
}

#[actix_web::test]
async fn with_envoy_verify_works_below_the_prefix_of_the_routes() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        database: folder.path().join("x.sqlite"),
        rules: public_rules(),
        forward_auth_headers: Some(ForwardAuthHeaders::Envoy),
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..Config::default()
    };
    let bearerd = Bearerd::open(&config).unwrap();
    let routes = web::scope("/auth").configure(bearerd.routes());
    let server = http::init_service(App::new().service(routes)).await;
    for (path, status) in [
        ("/auth/api/verify/public/x", 200),
        ("/auth/api/verify/secret", 403),
        ("/auth/api/verify/auth/api/verify/public/x", 403),
    ] {
        let request = http::TestRequest::get().uri(path).insert_header(("Host", "x"));
        let request = request.peer_addr(([127, 0, 0, 1], 1).into()).to_request();
        let answer = http::try_call_service(&server, request).await;
        let answer = answer
            .map_or_else(|error| error.as_response_error().status_code(), |answer| answer.status());
        assert_eq!(answer, status, "{path}");
    }
    bearerd.close().await;
}
