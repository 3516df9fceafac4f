//! `/api/explain`, which says how `/api/verify` would answer and why.

use bearerd::config::Config;
use serde_json::{Value, json};

use crate::support::{EMAIL, Server, set_rules, start_with};

const RULES: &str = r#"
    [[rules]]
    path = "/open/**"
    public = true
    [[rules]]
    path = "/posts/**"
    all = ["posts:write"]
"#;

fn server() -> Server {
    start_with(|config: &mut Config| {
        set_rules(config, "x-forwarded", RULES);
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
}

/// The names of the checks that failed.
fn failed(explanation: &Value) -> Vec<&str> {
    let checks = explanation["checks"].as_array().unwrap();
    let failed = checks.iter().filter(|check| check["passed"] == false);
    failed
        .map(|check| {
            assert!(check["remedy"].is_string(), "{check}");
            check["check"].as_str().unwrap()
        })
        .collect()
}

#[test]
fn explain_agrees_with_verify() {
    let server = server();
    let admin = server.issue_admin();
    let able = server.issue(&["posts:*"]);
    let unable = server.issue(&["posts:read"]);
    let revoked = server.issue(&["*"]);
    assert_eq!(server.delete("/api/tokens/current", &revoked).status, 204);
    let expired = server.issue_for(EMAIL, &["*"], Some(1));
    server.create_user("bob@example.org", "a good password", &["posts:read"]);
    let narrowed = server.issue_for("bob@example.org", &["posts:read"], None);
    server.db_execute("UPDATE tokens SET abilities = '*' WHERE user_id = 3");
    server.create_user("eve@example.org", "a good password", &["*"]);
    let disabled = server.issue_for("eve@example.org", &["*"], None);
    server.db_execute("UPDATE users SET disabled_at = 1 WHERE email = 'eve@example.org'");
    server.set_clock(1);
    for (token, uri, status, rule, causes) in [
        (Some(&able), "/posts/1", 200, Some(2), vec![]),
        (Some(&unable), "/posts/1", 403, Some(2), vec!["abilities"]),
        (Some(&narrowed), "/posts/1", 403, Some(2), vec!["abilities"]),
        (Some(&revoked), "/posts/1", 401, Some(2), vec!["revoked"]),
        (Some(&expired), "/posts/1", 401, Some(2), vec!["expires_at"]),
        (Some(&disabled), "/posts/1", 401, Some(2), vec!["owner"]),
        (Some(&"bd_nonsense".to_owned()), "/posts/1", 401, Some(2), vec!["form"]),
        (Some(&"nonsense".to_owned()), "/posts/1", 401, Some(2), vec!["token"]),
        (None, "/posts/1", 401, Some(2), vec!["token"]),
        (None, "/open/x", 200, Some(1), vec![]),
        (Some(&revoked), "/open/x", 200, Some(1), vec![]),
        (Some(&able), "/else", 403, None, vec!["rule"]),
        (Some(&able), "/posts%2f1", 400, None, vec!["rule"]),
    ] {
        let mut body = json!({"method": "GET", "host": "x", "uri": uri});
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Host", "x"),
            ("X-Forwarded-Uri", uri),
        ];
        if let (Some(token), Some(bearer)) = (token, &bearer) {
            body["token"] = json!(token);
            headers.push(("Authorization", bearer));
        }
        let answer = server.send_json("POST", "/api/explain", &admin, &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let explanation = &answer.json()["data"];
        assert_eq!(explanation["status"], status, "{explanation}");
        assert_eq!(explanation["allowed"], status == 200);
        assert_eq!(explanation["rule"], json!(rule));
        assert_eq!(failed(explanation), causes, "{explanation}");
        assert_eq!(server.send("GET", "/api/verify", &headers, None).status, status, "{uri}");
    }
}

#[test]
fn explain_agrees_with_verify_about_a_destination() {
    let free = "[[rules]]\nhost = \"free.example.org\"\npublic = true\n";
    let server =
        server().restart(|config| set_rules(config, "x-forwarded", &format!("{RULES}{free}")));
    let admin = server.issue_admin();
    let able = server.issue(&["posts:write"]);
    let bearer = format!("Bearer {able}");
    for (method, uri, destination, status, causes) in [
        ("COPY", "/open/x", Some("/posts/1"), 200, vec![]),
        ("MOVE", "/posts/1", Some("http://x/open/x"), 200, vec![]),
        ("COPY", "/open/x", Some("/else"), 403, vec!["destination"]),
        ("COPY", "/open/x", Some("posts"), 400, vec!["destination"]),
        ("COPY", "/open/x", Some("http://free.example.org/else"), 400, vec!["destination"]),
        ("COPY", "/open/x", None, 400, vec!["destination"]),
        ("COPY", "/else", None, 403, vec!["rule", "destination"]),
        ("BIND", "/open/x", None, 400, vec!["rule"]),
    ] {
        let mut body = json!({"token": able, "method": method, "host": "x", "uri": uri});
        let mut headers = vec![
            ("X-Forwarded-Method", method),
            ("X-Forwarded-Host", "x"),
            ("X-Forwarded-Uri", uri),
            ("Authorization", &bearer),
        ];
        if let Some(destination) = destination {
            body["destination"] = json!(destination);
            headers.push(("Destination", destination));
        }
        let answer = server.send_json("POST", "/api/explain", &admin, &body);
        let explanation = &answer.json()["data"];
        assert_eq!(explanation["status"], status, "{explanation}");
        assert_eq!(failed(explanation), causes, "{explanation}");
        assert_eq!(server.send("GET", "/api/verify", &headers, None).status, status, "{uri}");
    }
}

#[test]
fn spaces_and_tabs_around_a_token_are_ignored_as_in_a_header() {
    let server = server();
    let admin = server.issue_admin();
    let able = server.issue(&["posts:write"]);
    for (blank, status) in [(" ", 200), ("\t", 200), ("\u{a0}", 401)] {
        let body = json!({"token": format!("{blank}{able}{blank}"), "uri": "/posts/1"});
        let answer = server.send_json("POST", "/api/explain", &admin, &body);
        assert_eq!(answer.json()["data"]["status"], status, "{blank:?}: {}", answer.body);
    }
}

#[test]
fn with_envoy_explain_needs_a_uri() {
    let server = server().restart(|config| set_rules(config, "envoy", RULES));
    let admin = server.issue_admin();
    let ask = |body: Value| {
        server.send_json("POST", "/api/explain", &admin, &body).json()["data"].clone()
    };
    let abilities = ask(json!({"abilities": ["posts:write"]}));
    assert_eq!((&abilities["status"], failed(&abilities)[0]), (&json!(400), "rule"));
    let public = ask(json!({"abilities": ["posts:write"], "uri": "/open/x"}));
    assert_eq!(public["status"], 200, "{public}");
}

#[test]
fn explaining_a_token_does_not_count_as_a_use_and_shows_no_secret() {
    let server = server();
    let admin = server.issue_admin();
    let token = server.issue(&["posts:write"]);
    for subject in [json!({"token": token}), json!({"token": 2})] {
        let mut body = subject;
        body["uri"] = json!("/posts/1");
        let answer = server.send_json("POST", "/api/explain", &admin, &body);
        assert_eq!((answer.status, &answer.json()["data"]["allowed"]), (200, &json!(true)));
        assert!(!answer.body.contains(&token));
    }
    let listed = server.get("/api/users/1/tokens", &admin).json();
    assert_eq!(listed["data"][0]["last_used_at"], Value::Null);
}

#[test]
fn only_a_trusted_proxy_can_name_the_original_request() {
    let server = server();
    let admin = server.issue_admin();
    let ask = |from: &str| {
        let body = json!({"uri": "/open/x", "from": from});
        server.send_json("POST", "/api/explain", &admin, &body).json()["data"].clone()
    };
    assert_eq!(ask("127.0.0.1")["status"], 200);
    let refused = ask("192.0.2.1");
    assert_eq!((&refused["status"], failed(&refused)), (&json!(400), vec!["proxy"]));
}

#[test]
fn invalid_fields_are_refused() {
    let server = server();
    let admin = server.issue_admin();
    for (body, field) in [
        (json!({"token": 0}), "token"),
        (json!({"token": true}), "token"),
        (json!({"from": "here"}), "from"),
        (json!({"abilities": ["a b"]}), "abilities"),
        (json!({"tokens": "x"}), "tokens"),
    ] {
        let answer = server.send_json("POST", "/api/explain", &admin, &body);
        assert_eq!(answer.status, 422, "{body}");
        assert!(answer.json()["errors"][field].is_array(), "{}", answer.body);
    }
    assert_eq!(
        server.send_json("POST", "/api/explain", &server.issue(&["admin"]), &json!({})).status,
        403
    );
}
