//! The API's description agrees with the server.

use std::collections::BTreeSet;

use bearerd::config::Issuer;
use serde_json::{Map, Value, json};

use crate::support::{Server, start, start_with};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

fn document(server: &Server) -> Value {
    let answer = server.send("GET", "/api/openapi.json", &[], None);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()
}

/// Each path and its operations by method.
fn paths(document: &Value) -> impl Iterator<Item = (&String, &Map<String, Value>)> {
    document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| (path, item.as_object().unwrap()))
}

fn operations(document: &Value) -> impl Iterator<Item = (String, &String, &Value)> {
    paths(document).flat_map(|(path, item)| {
        item.iter().map(move |(method, operation)| (method.to_uppercase(), path, operation))
    })
}

/// The path with the id of the first user, or of a token that does not exist.
fn concrete(path: &str) -> String {
    path.replace("/api/users/{id}", "/api/users/1").replace("{id}", "99").replace("{token}", "99")
}

#[test]
fn the_described_methods_are_exactly_those_of_the_routes() {
    let server = start();
    let document = document(&server);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    for (path, item) in paths(&document) {
        for method in METHODS {
            let answer = server.send(method, &concrete(path), &[], None);
            let described = item.contains_key(&method.to_lowercase());
            assert_eq!(answer.status != 405, described, "{method} {path}");
            assert!(!answer.body.contains("route_not_found"), "{method} {path}");
        }
    }
}

#[test]
fn the_description_names_the_configured_url_of_the_server() {
    assert_eq!(document(&start()).get("servers"), None);
    let server = start_with(|config| config.issuer = Issuer::parse("https://app.example.org/auth"));
    assert_eq!(document(&server)["servers"], json!([{"url": "https://app.example.org/auth"}]));
}

#[test]
fn every_operation_has_a_unique_id_and_lists_its_errors() {
    let server = start();
    let document = document(&server);
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{name} is used twice");
        assert!(!operation["summary"].as_str().unwrap().is_empty());
        let answers = operation["responses"].as_object().unwrap();
        let required = |statuses: &[&str]| {
            for status in statuses {
                assert!(answers.contains_key(*status), "{method} {path} may answer {status}");
            }
        };
        if operation["security"].as_array().is_some_and(|kinds| !kinds.is_empty()) {
            required(&["401", "500", "503"]);
            let examples = &answers["503"]["content"]["application/json"]["examples"];
            assert!(
                examples["overloaded"].is_object() && examples["store_unavailable"].is_object()
            );
            let fields = &answers["503"]["headers"];
            assert!(fields["Retry-After"].is_object() && fields["Cache-Control"].is_object());
            assert!(answers["401"]["headers"]["WWW-Authenticate"].is_object());
            assert!(answers["500"]["headers"]["X-Request-Id"].is_object());
        }
        if !operation["security"][0]["bearer"].as_array().is_none_or(Vec::is_empty) {
            required(&["403"]);
        }
        if operation["requestBody"].is_object() {
            required(&["400", "408", "413", "415"]);
        }
        if operation["requestBody"]["content"]["application/json"].is_object() {
            required(&["422"]);
        }
        if path.contains('{') {
            required(&["404"]);
        }
    }
    let limited = &document["paths"]["/api/tokens"]["post"]["responses"]["429"]["headers"];
    for name in ["Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"] {
        assert!(limited[name].is_object(), "{name}");
    }
}

#[test]
fn every_operation_has_a_tag_that_is_described() {
    let document = document(&start());
    let tags = document["tags"].as_array().unwrap();
    let names: Vec<_> = tags.iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tokens", "account", "users", "proxies and services", "service"]);
    assert!(tags.iter().all(|tag| tag["description"].is_string()));
    for (method, path, operation) in operations(&document) {
        assert!(names.contains(&operation["tags"][0].as_str().unwrap()), "{method} {path}");
    }
}

#[test]
fn every_reference_resolves_to_a_schema() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let server = start();
    let document = document(&server);
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.contains("#/components/schemas/Error"));
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
}

/// The schemas that a body may have, with references resolved.
fn bodies<'a>(document: &'a Value, operation: &'a Value) -> Vec<&'a Value> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let each = schema["oneOf"].as_array().map_or(vec![schema], |each| each.iter().collect());
    each.into_iter()
        .map(|schema| document.pointer(&schema["$ref"].as_str().unwrap()[1..]).unwrap())
        .collect()
}

#[test]
fn the_described_bodies_have_the_fields_that_the_server_reads() {
    let server = start();
    let document = document(&server);
    let admin = server.issue_admin();
    server.db_execute("UPDATE tokens SET abilities = '*', kind = 'login'");
    let mut compared = 0;
    for (method, path, operation) in operations(&document) {
        // OAuth's forms may have any fields.
        if operation["requestBody"]["content"]["application/json"].is_null() {
            continue;
        }
        for (kind, schema) in bodies(&document, operation).into_iter().enumerate() {
            // The first kind of token request is a login, which is sent without a token.
            let is_login = path == "/api/tokens" && kind == 0;
            let header = format!("Bearer {admin}");
            let headers: &[_] = if is_login { &[] } else { &[("Authorization", header.as_str())] };
            let send = |body| server.send(&method, &concrete(path), headers, Some(&body));

            let answer = send(json!({"unheard_of": 1})).json();
            let text = answer["errors"]["unheard_of"][0].as_str().unwrap();
            let (_, known) = text.split_once("The known fields are: ").unwrap();
            let known: BTreeSet<_> = known.trim_end_matches('.').split(", ").collect();
            let described = schema["properties"].as_object().unwrap();
            assert_eq!(known, described.keys().map(String::as_str).collect(), "{method} {path}");
            assert_eq!(schema["additionalProperties"], false);

            let answer = send(json!({}));
            let missing = match answer.status {
                422 => answer.json()["errors"].as_object().unwrap().keys().cloned().collect(),
                _ => BTreeSet::new(),
            };
            let required = schema["required"].as_array().into_iter().flatten();
            let required: BTreeSet<_> =
                required.map(|name| name.as_str().unwrap().to_owned()).collect();
            assert_eq!(missing, required, "{method} {path}");
            compared += 1;
        }
    }
    assert!(compared >= 7, "{compared}");
}

#[test]
fn the_server_serves_swagger_ui_which_loads_nothing_from_other_hosts() {
    let server = start();
    for (path, kind) in [
        ("/docs", "text/html"),
        ("/docs.js", "text/javascript"),
        ("/docs/swagger-ui.css", "text/css"),
        ("/docs/swagger-ui-bundle.js", "text/javascript"),
    ] {
        let answer = server.send("GET", path, &[], None);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").unwrap().starts_with(kind), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        let tag = answer.header("etag").unwrap();
        assert_eq!(server.send("GET", path, &[("If-None-Match", tag)], None).status, 304);
    }
}
