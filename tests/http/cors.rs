use bearerd::config::{Origins, TokenHeader};

use crate::support::{Answer, Server, start_with};

const APP: &str = "https://app.example.org";
const ORIGIN: &str = "access-control-allow-origin";

fn start_for(origins: &str) -> Server {
    start_with(|config| config.cors_origins = Origins::parse(origins).unwrap())
}

fn get_from(server: &Server, origin: &str, path: &str) -> Answer {
    server.send("GET", path, &[("Origin", origin)], None)
}

fn preflight(server: &Server, origin: &str, path: &str) -> Answer {
    let headers = [("Origin", origin), ("Access-Control-Request-Method", "PATCH")];
    server.send("OPTIONS", path, &headers, None)
}

#[test]
fn a_listed_origin_can_read_every_answer_of_the_api() {
    let server = start_for("https://other.example.org,https://app.example.org");
    let token = server.issue(&["account:write"]);
    let bearer = format!("Bearer {token}");
    for (path, authorization, status) in [
        ("/api/user", bearer.as_str(), 200),
        ("/api/user", "", 401),
        ("/api/user", "Bearer x", 401),
        ("/api/tokens", &bearer, 403),
        ("/api/nothing", &bearer, 404),
    ] {
        let headers = [("Origin", APP), ("Authorization", authorization)];
        let answer = server.send("GET", path, &headers, None);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header(ORIGIN), Some(APP), "{path}");
        assert_eq!(answer.header("vary"), Some("Origin"));
        let exposed = answer.header("access-control-expose-headers").unwrap();
        for name in ["WWW-Authenticate", "Retry-After", "X-RateLimit-Remaining"] {
            assert!(exposed.contains(name), "{exposed}");
        }
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}

#[test]
fn other_origins_and_other_pages_get_no_cors_headers() {
    let server = start_for(APP);
    for origin in ["https://evil.example.org", "https://app.example.org.evil.org", "null"] {
        let answer = get_from(&server, origin, "/api/user");
        assert_eq!(answer.header(ORIGIN), None, "{origin}");
        assert_eq!(answer.header("vary"), Some("Origin"), "a cache must not mix them up");
        let answer = preflight(&server, origin, "/api/user");
        assert_eq!((answer.status, answer.header(ORIGIN)), (405, None), "{origin}");
    }
    let page = get_from(&server, APP, "/");
    assert_eq!((page.header(ORIGIN), page.header("vary")), (None, None));
    assert_eq!(preflight(&server, APP, "/healthz").status, 405);
}

#[test]
fn a_preflight_lists_the_allowed_methods_and_headers() {
    let server = start_for(APP);
    for path in ["/api/user", "/api/tokens/7", "/api/nothing"] {
        let answer = preflight(&server, APP, path);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        assert_eq!(answer.header(ORIGIN), Some(APP));
        assert_eq!(answer.header("vary"), Some("Origin"));
        let methods = answer.header("access-control-allow-methods").unwrap();
        assert_eq!(methods, "GET, POST, PUT, PATCH, DELETE");
        let headers = answer.header("access-control-allow-headers").unwrap();
        assert_eq!(headers, "Authorization, Content-Type");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    let plain = server.send("OPTIONS", "/api/user", &[("Origin", APP)], None);
    assert_eq!(plain.status, 405, "this is no preflight");
}

#[test]
fn a_path_with_escapes_is_treated_as_the_path_that_it_names() {
    let server = start_for(APP);
    assert_eq!(preflight(&server, APP, "/%61pi/user").status, 204);
    for path in ["/api/verify", "/api/%76erify", "/%61pi/verify"] {
        let answer = preflight(&server, APP, path);
        assert_eq!((answer.status, answer.header(ORIGIN)), (401, None), "{path}");
    }
}

#[test]
fn a_preflight_allows_the_configured_token_header() {
    let server = start_with(|config| {
        config.cors_origins = Origins::Any;
        config.token_header = TokenHeader::parse("X-Api-Token");
    });
    let answer = preflight(&server, APP, "/api/user");
    let headers = answer.header("access-control-allow-headers").unwrap();
    assert_eq!(headers, "Authorization, Content-Type, x-api-token");
}

#[test]
fn a_star_allows_any_origin() {
    let server = start_for("*");
    let answer = get_from(&server, APP, "/api/user");
    assert_eq!((answer.header(ORIGIN), answer.header("vary")), (Some("*"), None));
    assert_eq!(preflight(&server, "null", "/api/user").header(ORIGIN), Some("*"));
}
