//! `/api/verify`, as a reverse proxy asks it.

use bearerd::app;
use bearerd::auth::TokenRequest;
use bearerd::config::{Config, Origins, TokenHeader};
use bearerd::domain::{Email, Name};

use crate::support::{
    Answer, EMAIL, INVALID_TOKEN, NO_CREDENTIALS, OFFERS_BASIC, Server, set_rules, start,
    start_with,
};

/// Asks about a client's request as Caddy does.
fn ask(server: &Server, method: &str, host: &str, uri: &str, token: Option<&str>) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers =
        vec![("X-Forwarded-Method", method), ("X-Forwarded-Host", host), ("X-Forwarded-Uri", uri)];
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    server.send("GET", "/api/verify", &headers, None)
}

fn behind_a_proxy(text: &str) -> Server {
    start_with(|config: &mut Config| {
        set_rules(config, "x-forwarded", text);
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
}

#[test]
fn the_headers_name_the_user_and_the_token() {
    let server = start();
    let token = server.issue(&["posts:read", "posts:write"]);
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
        let answer = server.with_token(method, "/api/verify", &token);
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{method}");
        for (name, value) in [
            ("remote-user", EMAIL),
            ("x-auth-user-id", "1"),
            ("x-auth-user-name", "Ada Lovelace"),
            ("x-auth-token-id", "1"),
            ("x-auth-abilities", "posts:read posts:write"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{method}");
        }
    }
}

#[test]
fn a_name_beyond_ascii_is_escaped_and_an_email_is_sent_as_utf_8() {
    let server = start();
    server.db_execute("UPDATE users SET name = 'Jörg 100%', email = 'jörg@example.org'");
    let answer = server.get("/api/verify", &server.issue_for("jörg@example.org", &["*"], None));
    assert_eq!(answer.header("x-auth-user-name"), Some("J%C3%B6rg%20100%25"));
    assert_eq!(answer.headers["remote-user"].as_bytes(), "jörg@example.org".as_bytes());
}

#[test]
fn the_abilities_are_those_that_token_and_owner_share() {
    let server = start();
    server.create_user("bob@example.org", "a good password", &["posts:*"]);
    let token = server.issue_for("bob@example.org", &["posts:read"], None);
    server.db_execute("UPDATE users SET abilities = 'posts:read mail:read' WHERE id = 2");
    let answer = server.get("/api/verify", &token);
    assert_eq!(answer.header("x-auth-abilities"), Some("posts:read"));
}

#[test]
fn a_query_names_the_needed_abilities() {
    let server = start();
    let token = server.issue(&["posts:read", "mail:*"]);
    for (query, status, scope) in [
        ("?ability=posts:read", 200, ""),
        ("?ability=posts:read&ability=mail:send", 200, ""),
        ("?ability=posts:read&ability=posts:write", 403, "posts:read posts:write"),
        ("?any=posts:write&any=posts:read", 200, ""),
        ("?any=posts:write&any=posts:drop", 403, "posts:write posts:drop"),
        ("?ability=posts:read&any=posts:write", 403, "posts:write"),
        ("?ability=posts%3Aread", 200, ""),
        ("?ability=", 422, ""),
        ("?any=", 422, ""),
        ("?ability=a+b", 422, ""),
        ("?abilities=posts:read", 422, ""),
        ("?posts:read", 422, ""),
    ] {
        let answer = server.get(&format!("/api/verify{query}"), &token);
        assert_eq!(answer.status, status, "{query}: {}", answer.body);
        if status == 403 {
            let challenge =
                format!(r#"Bearer realm="bearerd", error="insufficient_scope", scope="{scope}""#);
            assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
        }
        if status != 200 {
            assert_eq!(answer.header("remote-user"), None, "{query}");
        }
    }
    server.send("GET", "/api/verify?ability=x", &[], None).assert_refused(NO_CREDENTIALS);
    server.get("/api/verify?ability=x", "bd_nonsense").assert_refused(INVALID_TOKEN);
}

#[test]
fn the_first_rule_that_matches_decides() {
    let server = behind_a_proxy(
        r#"
        [[rules]]
        host = "open.example.org"
        path = "/docs/**"
        methods = ["GET"]
        public = true
        [[rules]]
        path = "/posts/**"
        methods = ["GET"]
        all = ["posts:read"]
        [[rules]]
        path = "/posts/**"
        any = ["posts:write", "posts:admin"]
        [[rules]]
        path = "/me"
        all = []
        "#,
    );
    let (reader, writer) = (server.issue(&["posts:read"]), server.issue(&["posts:write"]));
    let (reader, writer) = (Some(reader.as_str()), Some(writer.as_str()));
    for (method, host, uri, token, status) in [
        ("GET", "open.example.org", "/docs/a?b=/posts/1", None, 200),
        ("HEAD", "OPEN.example.org:443", "/docs", None, 200),
        ("POST", "open.example.org", "/docs/a", writer, 403),
        ("GET", "app.example.org", "/docs/a", writer, 403),
        ("GET", "app.example.org", "/posts/1", None, 401),
        ("GET", "app.example.org", "/posts/1", reader, 200),
        ("GET", "app.example.org", "/posts/1", writer, 403),
        ("POST", "app.example.org", "/posts", reader, 403),
        ("POST", "app.example.org", "/posts", writer, 200),
        ("GET", "app.example.org", "/posts//%31", writer, 403),
        ("GET", "app.example.org", "/%70osts/1", reader, 400),
        ("GET", "app.example.org", "/posts%2f1", reader, 400),
        ("GET", "app.example.org", "/docs/../posts/1", reader, 400),
        ("GET", "app.example.org", "posts", reader, 400),
        ("GET", "app.example.org", "/me", reader, 200),
        ("GET", "app.example.org", "/else", reader, 403),
    ] {
        let answer = ask(&server, method, host, uri, token);
        assert_eq!(answer.status, status, "{method} {host}{uri} {token:?}: {}", answer.body);
    }
    let nobody = ask(&server, "GET", "open.example.org", "/docs/a", reader);
    assert_eq!(nobody.header("remote-user"), None, "a public path has no user");
    let unmatched = ask(&server, "GET", "app.example.org", "/else", reader);
    assert_eq!(unmatched.json()["code"], "no_access_rule");
}

#[test]
fn with_rules_verify_needs_the_original_request_or_abilities() {
    let server = behind_a_proxy("[[rules]]\npath = \"/open\"\npublic = true\n");
    let token = server.issue(&["a"]);
    let answer = server.get("/api/verify", &token);
    assert_eq!(answer.status, 400);
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("X-Forwarded-Uri") && message.contains("abilities"), "{message}");
    assert_eq!(server.get("/api/verify?ability=a", &token).status, 200);
    assert_eq!(server.get("/api/verify?ability=b", &token).status, 403);
    let headers =
        [("X-Forwarded-Method", "GET"), ("X-Forwarded-Host", "x"), ("X-Forwarded-Uri", "/open")];
    let named = server.send("GET", "/api/verify?ability=a", &headers, None);
    named.assert_refused(NO_CREDENTIALS);
}

#[test]
fn an_untrusted_client_cannot_name_the_request() {
    let server = start_with(|config: &mut Config| {
        set_rules(config, "x-forwarded", "[[rules]]\npath = \"/open\"\npublic = true\n");
    });
    let token = server.issue(&["*"]);
    assert_eq!(ask(&server, "GET", "x", "/open", None).status, 400);
    let refused = ask(&server, "GET", "x", "/open", Some(&token));
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("trusted_proxies"), "{}", refused.body);
    // Abilities in the query do not replace it.
    let headers = [("Authorization", &*format!("Bearer {token}")), ("X-Forwarded-Uri", "/admin")];
    assert_eq!(server.send("GET", "/api/verify?ability=a", &headers, None).status, 400);
}

#[test]
fn a_repeated_error_in_a_query_is_reported_once() {
    let server = start();
    let query = "a&".repeat(1000);
    let answer = server.send("GET", &format!("/api/verify?{query}"), &[], None);
    assert_eq!(answer.status, 422);
    assert!(answer.body.len() < 500, "{}", answer.body.len());
}

#[test]
fn a_preflight_to_verify_needs_a_token() {
    let server = start_with(|config: &mut Config| config.cors_origins = Origins::Any);
    let headers = [("Origin", "https://x.example"), ("Access-Control-Request-Method", "GET")];
    assert_eq!(server.send("OPTIONS", "/api/verify", &headers, None).status, 401);
    assert_eq!(server.send("OPTIONS", "/api/user", &headers, None).status, 204);
}

#[test]
fn without_rules_the_original_request_is_ignored() {
    let server = behind_a_proxy("");
    let token = server.issue(&["*"]);
    assert_eq!(ask(&server, "GET", "x", "/..%2f", Some(&token)).status, 200);
    assert_eq!(ask(&server, "GET", "x", "/", None).status, 401);
}

#[test]
fn verify_basic_auth_accepts_a_token_as_the_password() {
    use base64::Engine as _;
    let basic = |token: &str| {
        let pair = format!("git:{token}");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let server = start();
    let header = basic(&server.issue(&["*"]));
    let ask = |server: &Server, path: &str, header: &str| {
        server.send("GET", path, &[("Authorization", header)], None)
    };
    ask(&server, "/api/verify", &header).assert_refused(NO_CREDENTIALS);
    let server = server.restart(|config| config.verify_basic_auth = true);
    let answer = ask(&server, "/api/verify", &header);
    assert_eq!((answer.status, answer.header("remote-user")), (200, Some(EMAIL)));
    ask(&server, "/api/user", &header).assert_refused(NO_CREDENTIALS);
    let nobody = server.send("GET", "/api/verify", &[], None);
    assert_eq!((nobody.status, nobody.challenges()), (401, vec![OFFERS_BASIC, NO_CREDENTIALS]));
    let dead = ask(&server, "/api/verify", &basic("bd_nonsense"));
    assert_eq!((dead.status, dead.challenges()), (401, vec![OFFERS_BASIC, INVALID_TOKEN]));
}

#[test]
fn with_token_header_authorization_belongs_to_the_application() {
    let server = start_with(|config: &mut Config| {
        config.token_header = TokenHeader::parse("X-Api-Token");
    });
    let token = server.issue(&["*"]);
    let theirs = ("Authorization", "Negotiate abc");
    for path in ["/api/verify", "/api/user"] {
        let ask = |headers: &[(&str, &str)]| server.send("GET", path, headers, None).status;
        assert_eq!(ask(&[("X-Api-Token", token.as_str()), theirs]), 200, "{path}");
        assert_eq!(ask(&[("X-Api-Token", "bd_nonsense"), theirs]), 401, "{path}");
        assert_eq!(ask(&[theirs]), 401, "{path}");
        assert_eq!(server.get(path, &token).status, 200, "{path}");
    }
}

#[test]
fn control_characters_that_another_program_stored_are_escaped_in_the_headers() {
    let server = start();
    let email = "a\u{1b}da@example.org";
    server.db_execute(&format!(
        "UPDATE users SET email = '{email}', name = 'A\u{1b}da', abilities = 'a\u{1b}b posts:read'"
    ));
    let request =
        TokenRequest { name: Name::parse("test").unwrap(), abilities: None, expires_in: None };
    let email = Email::from_stored(email.to_owned());
    let token = app::block_on(server.auth.issue(email, request)).unwrap().plain;
    let answer = server.get("/api/verify", token.expose());
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("remote-user"), Some("a%1Bda%40example.org"));
    assert_eq!(answer.header("x-auth-user-name"), Some("A%1Bda"));
    assert_eq!(answer.header("x-auth-abilities"), Some("posts:read"), "the other is no ability");
}
