//! The headers that name the original request at `/api/verify`. A client must not be able to forge them.

use bearerd::config::{Config, Origins};

use crate::support::{Server, set_rules, start_with};

const NAMINGS: [&str; 4] = ["x-forwarded", "x-original-uri", "x-original-url", "envoy"];

const HOST: &str = "app.example.org";

const RULES: &str = r#"
    [[rules]]
    host = "app.example.org"
    path = "/public/**"
    public = true
    [[rules]]
    host = "app.example.org"
    path = "/posts/**"
    methods = ["GET"]
    all = ["small"]
    [[rules]]
    host = "app.example.org"
    all = ["big"]
"#;

fn server(naming: &str) -> Server {
    start_with(|config: &mut Config| {
        set_rules(config, naming, RULES);
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
}

type Headers = Vec<(&'static str, String)>;

/// The path and the headers by which a proxy with this setting names a request.
fn question(naming: &str, method: &str, host: &str, uri: &str) -> (String, Headers) {
    let verify = "/api/verify".to_owned();
    let (method, host) = (method.to_owned(), host.to_owned());
    match naming {
        "x-forwarded" => (
            verify,
            vec![
                ("X-Forwarded-Method", method),
                ("X-Forwarded-Host", host),
                ("X-Forwarded-Uri", uri.to_owned()),
            ],
        ),
        "x-original-uri" => (
            verify,
            vec![("X-Original-Method", method), ("X-Original-URI", uri.to_owned()), ("Host", host)],
        ),
        "x-original-url" => (
            verify,
            vec![("X-Original-Method", method), ("X-Original-URL", format!("https://{host}{uri}"))],
        ),
        "envoy" => (verify + uri, vec![("Host", host)]),
        _ => panic!("{naming}"),
    }
}

/// Asks about a request, with further headers and a token from the client. Returns the status.
fn ask(
    server: &Server,
    naming: &str,
    (method, host, uri): (&str, &str, &str),
    more: &[(&str, &str)],
    token: Option<&str>,
) -> u16 {
    let (path, named) = question(naming, method, host, uri);
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers: Vec<_> = named.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.extend(more);
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    let sent = if naming == "envoy" { method } else { "GET" };
    server.send(sent, &path, &headers, None).status
}

/// Headers by which some proxy or application names a request with this method, host and URI.
fn forgeries(method: &str, host: &str, uri: &str) -> Vec<Headers> {
    let url = format!("https://{host}{uri}");
    let method = || method.to_owned();
    let (host, uri) = (|| host.to_owned(), || uri.to_owned());
    vec![
        vec![
            ("X-Forwarded-Method", method()),
            ("X-Forwarded-Host", host()),
            ("X-Forwarded-Uri", uri()),
        ],
        vec![("X-Forwarded-Uri", uri())],
        vec![("X-Forwarded-Path", uri())],
        vec![("X-Forwarded-Prefix", uri()), ("X-Forwarded-Server", host())],
        vec![("X-Forwarded-Proto", "https".to_owned()), ("X-Forwarded-Port", "1".to_owned())],
        vec![("X-Original-Method", method()), ("X-Original-URI", uri())],
        vec![("X-Original-URI", uri())],
        vec![("X-Original-Method", method()), ("X-Original-URL", url.clone())],
        vec![("X-Original-URL", url.clone())],
        vec![("X-Original-URL", uri())],
        vec![("X-Original-Host", host())],
        vec![("X-Rewrite-URL", uri())],
        vec![("X-Rewrite-URL", url.clone())],
        vec![("X-Replaced-Path", uri())],
        vec![("X-Auth-Request-Redirect", uri())],
        vec![("X-Envoy-Original-Path", uri()), ("X-Envoy-Original-Method", method())],
        vec![("X-Envoy-Original-Host", host())],
        vec![("X-Request-URI", uri()), ("Request-URI", uri()), ("X-URI", uri())],
        vec![("X-Real-Method", method()), ("X-Real-URI", uri()), ("X-Real-Host", host())],
        vec![("X-Host", host()), ("X-HTTP-Host-Override", host())],
        vec![
            ("X-HTTP-Method-Override", method()),
            ("X-HTTP-Method", method()),
            ("X-Method-Override", method()),
        ],
        vec![("Forwarded", format!("for=192.0.2.1;host={};proto=https", host()))],
        vec![
            ("X_Forwarded_Method", method()),
            ("X_Forwarded_Host", host()),
            ("X_Forwarded_Uri", uri()),
        ],
        vec![("X_Original_Method", method()), ("X_Original_URI", uri()), ("X_Original_URL", url)],
        vec![("Referer", uri()), ("Content-Location", uri()), ("Location", uri())],
    ]
}

#[test]
fn only_the_configured_headers_name_the_request() {
    for naming in NAMINGS {
        let server = server(naming);
        let (small, big) = (server.issue(&["small"]), server.issue(&["big"]));
        let (_, own) = question(naming, "GET", HOST, "/");
        let is_own = |name: &str| own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        for (forged_uri, uri, statuses) in [
            ("/public/x", "/secret", [401, 403, 200]),
            ("/posts/1", "/secret", [401, 403, 200]),
            ("/secret", "/posts/1", [401, 200, 403]),
            ("/secret", "/public/x", [200, 200, 200]),
            ("/..%2f", "/public/x", [200, 200, 200]),
        ] {
            for forged in forgeries("GET", HOST, forged_uri) {
                let more: Vec<_> = forged.iter().map(|(name, value)| (*name, &**value)).collect();
                // The proxy overwrites the configured headers.
                if more.iter().any(|(name, _)| is_own(name)) {
                    continue;
                }
                let tokens = [None, Some(small.as_str()), Some(big.as_str())];
                let answers =
                    tokens.map(|token| ask(&server, naming, ("GET", HOST, uri), &more, token));
                assert_eq!(answers, statuses, "{naming} {uri} {forged:?}");
            }
        }
    }
}

#[test]
fn rules_match_the_method_the_host_and_the_path() {
    for naming in NAMINGS {
        let server = server(naming);
        let small = server.issue(&["small"]);
        for (method, host, uri, status) in [
            ("GET", HOST, "/posts/1", 200),
            ("HEAD", HOST, "/posts/1", 200),
            ("GET", "app.example.org:8443", "/posts/1?ability=big", 200),
            ("POST", HOST, "/posts/1", 403),
            ("QUERY", HOST, "/posts/1", 403),
            ("FANCY", HOST, "/posts/1", 403),
            ("get", HOST, "/posts/1", 400),
            ("GET", "other.example.org", "/posts/1", 403),
            ("GET", "app.example.org.", "/posts/1", 400),
            ("GET", HOST, "/posts//%31", 200),
            ("GET", HOST, "/public/../posts/1", 400),
            ("GET", HOST, "/posts/./1", 400),
            ("GET", HOST, "/%70osts/1", 400),
            ("GET", HOST, "//posts/1", 400),
            ("GET", HOST, "/..%2fposts/1", 400),
            ("GET", HOST, "/posts/1;a", 400),
            ("GET", HOST, "/posts/%0a", 400),
        ] {
            let answer = ask(&server, naming, (method, host, uri), &[], Some(&small));
            assert_eq!(answer, status, "{naming} {method} {host}{uri}");
        }
    }
}

#[test]
fn a_protected_path_needs_a_token_with_every_method() {
    // All methods of the IANA registry of 2025, and an invented one.
    let methods = "ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK \
        LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH \
        PATCH POST PRI PROPFIND PROPPATCH PUT QUERY REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT \
        UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL FANCY";
    for naming in NAMINGS {
        let server = server(naming);
        for method in methods.split_whitespace() {
            let (path, headers) = question(naming, method, HOST, "/secret");
            let sent = if naming == "envoy" { method } else { "GET" };
            let mut request = format!("{sent} {path} HTTP/1.1\r\nConnection: close\r\n");
            if !headers.iter().any(|(name, _)| *name == "Host") {
                request += "Host: bearerd\r\n";
            }
            for (name, value) in headers {
                request += &format!("{name}: {value}\r\n");
            }
            let (status, _) = server.send_raw(format!("{request}\r\n").as_bytes());
            assert!((400..500).contains(&status), "{naming} {method}: {status}");
        }
    }
}

#[test]
fn missing_repeated_or_empty_headers_are_refused() {
    for naming in NAMINGS {
        let server = server(naming);
        let big = format!("Bearer {}", server.issue(&["big", "a"]));
        let (path, named) = question(naming, "GET", HOST, "/secret");
        let send = |path: &str, named: &[(&str, &str)]| {
            let mut headers = vec![("Authorization", big.as_str())];
            headers.extend(named);
            server.send("GET", path, &headers, None)
        };
        let named: Vec<_> = named.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(send(&path, &named).status, 200, "{naming}");
        for (index, one) in named.iter().enumerate() {
            if one.0 == "Host" {
                continue;
            }
            let mut twice = named.clone();
            twice.push(*one);
            let mut without = named.clone();
            without.remove(index);
            let mut joined = named.clone();
            let value = format!("{}, {}", one.1, one.1);
            joined[index].1 = &value;
            let mut empty = named.clone();
            empty[index].1 = "";
            for wrong in [twice, without, joined, empty] {
                // They are refused even if the query names an ability.
                for path in [path.clone(), format!("{path}?ability=a")] {
                    let answer = send(&path, &wrong);
                    assert_eq!(answer.status, 400, "{naming} {wrong:?}: {}", answer.body);
                }
            }
        }
    }
}

#[test]
fn a_refusal_names_the_configured_headers() {
    for (naming, headers) in [
        ("x-forwarded", "X-Forwarded-Method, X-Forwarded-Host and X-Forwarded-Uri"),
        ("x-original-uri", "X-Original-Method, X-Original-URI and Host"),
        ("x-original-url", "X-Original-Method and X-Original-URL"),
    ] {
        let server = server(naming);
        let unnamed = server.send("GET", "/api/verify", &[], None);
        assert_eq!(unnamed.status, 400);
        assert!(unnamed.body.contains(headers), "{}", unnamed.body);
        let (_, named) = question(naming, "GET", HOST, "/public");
        let (name, value) = &named[0];
        let in_part = server.send("GET", "/api/verify", &[(name, value)], None);
        assert_eq!(in_part.status, 400);
        assert!(in_part.body.contains(headers), "{}", in_part.body);
    }
    let unnamed = server("envoy").send("GET", "/api/verify", &[], None);
    assert_eq!(unnamed.status, 400);
    assert!(unnamed.body.contains("/api/verify followed by"), "{}", unnamed.body);
}

#[test]
fn an_original_url_with_an_unclear_host_or_path_is_refused() {
    let server = server("x-original-url");
    for (url, status) in [
        ("https://app.example.org/public/x", 200),
        ("http://app.example.org:80/public/x?y", 200),
        ("https://app.example.org/secret?/public/x", 401),
        ("https://other.example.org/public/x", 403),
        ("/public/x", 400),
        ("https://app.example.org", 400),
        ("https://app.example.org?/public/x", 400),
        ("https://app.example.org#/public/x", 400),
        ("https://x@app.example.org/public/x", 400),
        ("https://app.example.org\\/public/x", 400),
        ("https://app.example.org:/public/x", 200),
        ("https://app.example.org/public/x/secret\\..", 400),
        ("https://app.example.org//public/x", 400),
        ("ftp://app.example.org/public/x", 400),
        ("https:///public/x", 400),
        ("https:/public/x", 400),
    ] {
        let headers = [("X-Original-Method", "GET"), ("X-Original-URL", url)];
        let answer = server.send("GET", "/api/verify", &headers, None);
        assert_eq!(answer.status, status, "{url}: {}", answer.body);
    }
}

#[test]
fn with_envoy_the_path_after_verify_names_the_request_and_its_query_is_ignored() {
    let server = server("envoy");
    let small = server.issue(&["small"]);
    let bearer = format!("Bearer {small}");
    let headers = [("Host", HOST), ("Authorization", bearer.as_str())];
    for (path, status) in [
        ("/api/verify/public/x?ability=big", 200),
        ("/api/verify/posts/1?ability=big&x=%", 200),
        ("/api/verify/secret?ability=small", 403),
        ("/api/verify/secret?any=small", 403),
        ("/api/verify/api/verify/public/x", 403),
        ("/api/verify/?ability=small", 403),
        ("/api/verify?ability=small", 400),
        ("/api/verify", 400),
        ("/api/verify%2fposts/1", 404),
        ("/api/verify.json", 404),
        ("/api/verify*", 404),
    ] {
        let answer = server.send("GET", path, &headers, None);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    // The client does not normalize these paths.
    for (request, status) in [
        (format!("GET /api/verify/../tokens/current HTTP/1.1\r\nHost: {HOST}"), 400),
        (format!("GET /api/verify/%2e%2e/user HTTP/1.1\r\nHost: {HOST}"), 400),
        (format!("GET /api/verify/posts//1 HTTP/1.1\r\nHost: {HOST}"), 200),
        (format!("GET /api/verify/posts/1 HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}"), 400),
        ("GET /api/verify/posts/1 HTTP/1.0".to_owned(), 400),
        (format!("GET http://{HOST}/api/verify/posts/1 HTTP/1.1\r\nHost: x"), 400),
        (format!("GET http://{HOST}/api/verify/posts/1 HTTP/1.1\r\nHost: {HOST}"), 200),
        (format!("GET http://x/api/verify/posts/1 HTTP/1.1\r\nHost: {HOST}"), 400),
    ] {
        let sent = format!("{request}\r\nAuthorization: {bearer}\r\nConnection: close\r\n\r\n");
        let (answer, body) = server.send_raw(sent.as_bytes());
        assert_eq!(answer, status, "{request}: {body}");
    }
    let metrics = server.send("GET", "/metrics", &[], None).body;
    assert!(metrics.contains("/api/verify\""), "{metrics}");
    assert!(!metrics.contains("posts"), "no label comes from a client: {metrics}");
}

#[test]
fn paths_below_verify_exist_only_for_envoy() {
    for naming in &NAMINGS[..3] {
        let server = server(naming);
        let token = server.issue(&["*"]);
        for path in ["/api/verify/", "/api/verify/public/x"] {
            assert_eq!(server.get(path, &token).status, 404, "{naming}");
        }
    }
    let without_rules = start_with(|config| {
        config.forward_auth_headers = bearerd::domain::ForwardAuthHeaders::parse("envoy");
    });
    let token = without_rules.issue(&["a"]);
    assert_eq!(without_rules.get("/api/verify/public/x", &token).status, 404);
    assert_eq!(without_rules.get("/api/verify?ability=a", &token).status, 200);
}

#[test]
fn with_envoy_a_preflight_needs_a_token() {
    let server = server("envoy").restart(|config| config.cors_origins = Origins::Any);
    let headers =
        [("Host", HOST), ("Origin", "https://x.example"), ("Access-Control-Request-Method", "GET")];
    assert_eq!(server.send("OPTIONS", "/api/verify/secret", &headers, None).status, 401);
}

#[test]
fn only_a_trusted_proxy_can_name_a_request() {
    for naming in NAMINGS {
        let server = server(naming).restart(|config| config.trusted_proxies.clear());
        let answer = ask(&server, naming, ("GET", HOST, "/public/x"), &[], None);
        assert_eq!(answer, 400, "{naming}");
    }
}

/// Rules for a WebDAV server: paths below /sec need another ability than paths below /pub.
const DAV: &str = r#"
    [[rules]]
    host = "open.example.org"
    public = true
    [[rules]]
    host = "app.example.org"
    path = "/open/**"
    public = true
    [[rules]]
    host = "app.example.org"
    path = "/sec/**"
    methods = ["PUT"]
    all = ["sec"]
    [[rules]]
    host = "app.example.org"
    path = "/pub/**"
    all = ["pub"]
    [[rules]]
    host = "app.example.org"
    path = "/svn/**"
    methods = ["REPORT", "MERGE"]
    all = ["pub"]
    [[rules]]
    host = "app.example.org"
    path = "/sec/**"
    all = []
"#;

#[test]
fn copy_and_move_need_the_abilities_of_both_paths() {
    for naming in NAMINGS {
        let server = server(naming).restart(|config| set_rules(config, naming, DAV));
        let (public, both) = (server.issue(&["pub"]), server.issue(&["pub", "sec"]));
        assert_eq!(ask(&server, naming, ("PUT", HOST, "/sec/x"), &[], Some(&public)), 403);
        for (method, destination, statuses) in [
            ("COPY", "/sec/x", [401, 403, 200]),
            ("MOVE", "/sec/x", [401, 403, 200]),
            ("copy", "/sec/x", [401, 403, 200]),
            ("FANCY", "/sec/x", [401, 200, 200]),
            ("COPY", "http://app.example.org/sec/x", [401, 403, 200]),
            ("COPY", "https://app.example.org:8443/sec//x", [401, 403, 200]),
            ("COPY", "/pub/y", [401, 200, 200]),
            ("MOVE", "/open/y", [401, 200, 200]),
            ("COPY", "/else", [403; 3]),
            ("COPY", "http://other.example.org/pub/y", [400; 3]),
            ("COPY", "http://open.example.org/sec/x", [400; 3]),
            ("FANCY", "http://open.example.org/sec/x", [400; 3]),
            ("COPY", "//app.example.org/pub/y", [400; 3]),
            ("COPY", "/pub/..%2fsec/x", [400; 3]),
            ("COPY", "/pub/y, /sec/x", [400; 3]),
            ("COPY", "pub/y", [400; 3]),
            ("COPY", "http://u@app.example.org/pub/y", [400; 3]),
            ("COPY", "", [400; 3]),
            ("GET", "pub/y", [400; 3]),
        ] {
            let more = [("Destination", destination)];
            let tokens = [None, Some(public.as_str()), Some(both.as_str())];
            let answers =
                tokens.map(|token| ask(&server, naming, (method, HOST, "/pub/x"), &more, token));
            assert_eq!(answers, statuses, "{naming} {method} {destination}");
        }
        // This token has the abilities of both paths.
        for method in ["COPY", "MOVE", "Move"] {
            let twice = [("Destination", "/pub/y"), ("Destination", "/pub/z")];
            for more in [&[][..], &twice] {
                let answer = ask(&server, naming, (method, HOST, "/pub/x"), more, Some(&both));
                assert_eq!(answer, 400, "{naming} {method} {more:?}");
            }
        }
        let more = [("Destination", "/open/y")];
        assert_eq!(ask(&server, naming, ("COPY", HOST, "/open/x"), &more, None), 200);
    }
}

#[test]
fn a_method_that_names_resources_in_its_body_needs_a_rule_that_lists_it() {
    let server = server("x-forwarded").restart(|config| set_rules(config, "x-forwarded", DAV));
    let token = server.issue(&["pub"]);
    for (method, uri, status) in [
        ("PROPFIND", "/pub/x", 200),
        ("REPORT", "/svn/x", 200),
        ("MERGE", "/svn/x", 200),
        ("REPORT", "/pub/x", 400),
        ("report", "/pub/x", 400),
        ("BIND", "/pub/x", 400),
        ("BIND", "/svn/x", 403),
        ("SEARCH", "/open", 400),
    ] {
        let answer = ask(&server, "x-forwarded", (method, HOST, uri), &[], Some(&token));
        assert_eq!(answer, status, "{method} {uri}");
    }
}
