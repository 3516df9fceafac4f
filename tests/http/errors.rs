use serde_json::json;

use crate::support::{EMAIL, PASSWORD, start};

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /api/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn invalid_json_is_reported_with_line_and_column() {
    let server = start();
    for (body, text) in [
        (b"".as_slice(), "line 1, column 0"),
        (b"{\n  \"email\": oops}", "line 2, column 12"),
        (b"{\"a\":1} trailing", "line 1, column 9"),
        (b"{\"a\":\xff\xfe}", "line 1, column"),
        (b"\0", "line 1"),
        (&[b'['; 1000], "must be a JSON object"),
        (b"[]", "must be a JSON object"),
        (b"\"text\"", "must be a JSON object"),
        (b"null", "must be a JSON object"),
    ] {
        let (status, answer) = server.send_raw(&post(JSON, body));
        assert_eq!(status, 400, "{answer}");
        assert!(answer.contains(text), "{answer}");
        assert!(answer.contains("\"code\":\"invalid_request\""), "{answer}");
    }
    let deep = [b"{\"a\":".as_slice(), &[b'['; 1000]].concat();
    assert_eq!(server.send_raw(&post(JSON, &deep)).0, 400);
}

#[test]
fn a_body_with_too_many_fields_gets_one_short_error() {
    let server = start();
    let fields: Vec<_> = (0..6000).map(|i| format!("\"f{i}\":1")).collect();
    let (status, answer) =
        server.send_raw(&post(JSON, format!("{{{}}}", fields.join(",")).as_bytes()));
    assert_eq!(status, 400);
    assert!(answer.contains("more than 32 fields") && answer.len() < 200, "{answer}");
}

#[test]
fn a_content_type_other_than_json_is_refused() {
    let server = start();
    let body = format!("email={EMAIL}&password={PASSWORD}&device_name=x");
    for headers in
        ["", "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: ;\r\n"]
    {
        let (status, answer) = server.send_raw(&post(headers, body.as_bytes()));
        assert_eq!(status, 415, "{answer}");
        assert!(answer.contains("application/json"), "{answer}");
    }
    let body = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x"}).to_string();
    let headers = "Content-Type: Application/JSON; charset=utf-8\r\n";
    assert_eq!(server.send_raw(&post(headers, body.as_bytes())).0, 201);
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let server = start();
    let body = vec![b' '; 64 * 1024 + 1];
    let (status, answer) = server.send_raw(&post(JSON, &body));
    assert_eq!(status, 413);
    assert!(answer.contains("65536 bytes"), "{answer}");
}

#[test]
fn an_unknown_route_gets_404_and_an_unknown_method_405() {
    let server = start();
    let answer = server.send("GET", "/api/x", &[], None);
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.json(),
        json!({"message": "The route api/x could not be found.", "code": "route_not_found"})
    );
    for (method, path, allow) in [
        ("PUT", "/api/tokens", "POST, GET, HEAD, DELETE"),
        ("POST", "/api/tokens/current", "GET, HEAD, DELETE"),
        ("GET", "/api/tokens/7", "DELETE, PATCH"),
        ("OPTIONS", "/api/user", "GET, HEAD, PUT"),
    ] {
        let answer = server.send(method, path, &[], None);
        assert_eq!(answer.status, 405);
        assert_eq!(answer.header("allow"), Some(allow));
        let body = answer.json();
        assert_eq!(body["code"], "method_not_allowed");
        let message = format!(
            "The {method} method is not supported for route {}. Supported methods: {allow}.",
            &path[1..]
        );
        assert_eq!(body["message"], message);
    }
}

#[test]
fn answers_are_json_even_if_the_client_accepts_html() {
    let server = start();
    let answer = server.send("GET", "/api/user", &[("Accept", "text/html")], None);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["code"], "unauthenticated");
    let token = server.issue(&["*"]);
    for query in ["page=1&page=2", "pgae=2", "page=%ff", "page", "%"] {
        let answer = server.get(&format!("/api/tokens?{query}"), &token);
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!(answer.json()["code"], "validation_failed");
    }
}

#[test]
fn the_page_has_a_strict_content_security_policy() {
    let server = start();
    let page = server.send("GET", "/", &[], None);
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.body.contains("bearerd-demo-"), "no demo, no demo's password");
    assert_eq!(server.send("HEAD", "/", &[], None).status, 200);
    assert_eq!(server.send("POST", "/", &[], None).header("allow"), Some("GET, HEAD"));
    let tag = page.header("etag").unwrap();
    assert_eq!(server.send("GET", "/", &[("If-None-Match", tag)], None).status, 304);
}
