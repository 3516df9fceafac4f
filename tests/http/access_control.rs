//! Who may call which route. The routes come from the API's description, which is generated from the route
//! table, so that no route can be missed. The table below repeats what each route must require. A route
//! that requires less fails these tests, and so does a route that is not in the table.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{ADMIN, Answer, EMAIL, INVALID_TOKEN, NO_CREDENTIALS, Server, start};
use Need::{Ability, Admin, LiveToken, Nothing, Service, Verify};

/// What a route must require of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    LiveToken,
    Ability(&'static str),
    /// An administrator, with a token that has `admin`.
    Admin,
    /// A token of another service, with this ability if one is named. HTTP Basic is offered too.
    Service(Option<&'static str>),
    /// A live token, and the abilities that the query names.
    Verify,
}

const ROUTES: &[(&str, &str, Need)] = &[
    ("POST", "/api/tokens", Nothing),
    ("GET", "/api/tokens", Ability("tokens:read")),
    ("DELETE", "/api/tokens", Ability("tokens:write")),
    ("GET", "/api/tokens/current", LiveToken),
    ("DELETE", "/api/tokens/current", LiveToken),
    ("PATCH", "/api/tokens/{id}", Ability("tokens:write")),
    ("DELETE", "/api/tokens/{id}", Ability("tokens:write")),
    ("GET", "/api/user", LiveToken),
    ("PUT", "/api/user", Ability("account:write")),
    ("PUT", "/api/user/password", Ability("account:write")),
    ("GET", "/api/users", Admin),
    ("POST", "/api/users", Admin),
    ("GET", "/api/users/{id}", Admin),
    ("PATCH", "/api/users/{id}", Admin),
    ("DELETE", "/api/users/{id}", Admin),
    ("GET", "/api/users/{id}/tokens", Admin),
    ("DELETE", "/api/users/{id}/tokens", Admin),
    ("DELETE", "/api/users/{id}/tokens/{token}", Admin),
    ("POST", "/api/explain", Admin),
    ("POST", "/api/introspect", Service(Some("introspect"))),
    ("POST", "/api/revoke", Service(None)),
    ("GET", "/.well-known/oauth-authorization-server", Nothing),
    ("GET", "/api/openapi.json", Nothing),
    ("GET", "/healthz", Nothing),
    ("GET", "/readyz", Nothing),
    ("GET", "/metrics", Nothing),
];

/// The methods of `/api/verify` that the description lists.
const VERIFY: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/// Every ability that a route of the server requires, and one that no route requires.
const ABILITIES: [&str; 6] =
    ["tokens:read", "tokens:write", "account:write", "introspect", "admin", "posts:read"];

fn routes() -> impl Iterator<Item = (&'static str, &'static str, Need)> {
    let verify = VERIFY.iter().map(|&method| (method, "/api/verify", Verify));
    ROUTES.iter().copied().chain(verify)
}

/// The method and the path of each operation that the server describes.
fn described(server: &Server) -> BTreeSet<(String, String)> {
    let document = server.send("GET", "/api/openapi.json", &[], None).json();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase(), path.clone()))
    });
    operations.collect()
}

/// All abilities except this one.
fn all_but(ability: &str) -> Vec<&'static str> {
    ABILITIES.into_iter().filter(|other| *other != ability).collect()
}

/// Sends a request to a route, with ids that do not exist.
fn ask(server: &Server, method: &str, path: &str, token: &str) -> Answer {
    let path = path.replace("{id}", "99").replace("{token}", "99");
    match token {
        "" => server.send(method, &path, &[], None),
        token => server.with_token(method, &path, token),
    }
}

#[track_caller]
fn assert_lets_through(answer: &Answer, row: &str) {
    assert!(![401, 403, 405, 500].contains(&answer.status), "{row}: {}", answer.status);
}

#[track_caller]
fn assert_lacks(answer: &Answer, ability: &str, row: &str) {
    assert_eq!(answer.status, 403, "{row}: {}", answer.body);
    // HEAD has no body.
    assert!(answer.body.is_empty() || answer.json()["message"] == "Invalid ability provided.");
    let challenge =
        format!(r#"Bearer realm="bearerd", error="insufficient_scope", scope="{ability}""#);
    assert!(answer.challenges().contains(&challenge.as_str()), "{row}: {:?}", answer.challenges());
}

#[test]
fn the_table_lists_exactly_the_routes_of_the_server() {
    let here = routes().map(|(method, path, _)| (method.to_owned(), path.to_owned()));
    assert_eq!(here.collect::<BTreeSet<_>>(), described(&start()));
}

#[test]
fn only_open_routes_answer_without_a_live_token() {
    let server = start();
    let dead = server.issue(&ABILITIES);
    assert_eq!(server.delete("/api/tokens/current", &dead).status, 204);
    for (method, path, need) in routes() {
        let row = format!("{method} {path}");
        let answer = ask(&server, method, path, "");
        if need == Nothing {
            assert_lets_through(&answer, &row);
            continue;
        }
        assert_eq!(answer.status, 401, "{row}");
        assert!(answer.challenges().contains(&NO_CREDENTIALS), "{row}");
        for dead in [dead.as_str(), "bd_nonsense"] {
            let answer = ask(&server, method, path, dead);
            assert_eq!(answer.status, 401, "{row}");
            assert!(answer.challenges().contains(&INVALID_TOKEN), "{row}");
        }
    }
}

#[test]
fn each_route_refuses_a_token_without_its_ability() {
    let server = start();
    server.issue_admin();
    for (method, path, need) in routes() {
        let row = format!("{method} {path}");
        let with = |email: &str, abilities: &[&str]| {
            // Some routes revoke the token of the request.
            let token = server.issue_for(email, abilities, None);
            ask(&server, method, path, &token)
        };
        match need {
            Nothing => {}
            LiveToken | Verify | Service(None) => {
                assert_lets_through(&with(EMAIL, &[]), &row);
            }
            Ability(ability) | Service(Some(ability)) => {
                assert_lacks(&with(EMAIL, &all_but(ability)), ability, &row);
                // An administrator has no other ability by that.
                assert_lacks(&with(ADMIN, &all_but(ability)), ability, &row);
                assert_lets_through(&with(EMAIL, &[ability]), &row);
            }
            Admin => {
                assert_lacks(&with(ADMIN, &all_but("admin")), "admin", &row);
                assert_eq!(
                    with(EMAIL, &ABILITIES).status,
                    403,
                    "{row} without being an administrator"
                );
                assert_lets_through(&with(ADMIN, &["admin"]), &row);
            }
        }
    }
}

#[test]
fn a_login_token_with_a_star_among_others_has_every_ability() {
    let server = start();
    for (method, path, need) in routes() {
        let status = ask(&server, method, path, &server.log_in_with(&["foo", "*"])).status;
        assert_eq!(status == 403, need == Admin, "{method} {path}: {status}");
    }
}

#[test]
fn verify_requires_the_abilities_in_its_query() {
    let server = start();
    let token = server.issue(&all_but("posts:read"));
    for method in VERIFY {
        for query in ["ability=posts:read", "any=posts:read", "ability=admin&any=posts:read"] {
            let answer = server.with_token(method, &format!("/api/verify?{query}"), &token);
            assert_lacks(&answer, "posts:read", &format!("{method} {query}"));
        }
        let answer = server.with_token(method, "/api/verify?ability=admin&any=introspect", &token);
        assert_eq!(answer.status, 200, "{method}");
    }
}

#[test]
fn only_routes_that_offer_basic_accept_a_token_as_the_password() {
    let server = start();
    server.issue_admin();
    for (method, path, need) in routes() {
        let token = server.issue_for(ADMIN, &ABILITIES, None);
        let basic = format!("Basic {}", base64(&format!("x:{token}")));
        let path = path.replace("{id}", "99").replace("{token}", "99");
        let answer = server.send(method, &path, &[("Authorization", &basic)], None);
        let refused = answer.status == 401;
        let expected = !matches!(need, Nothing | Service(_));
        assert_eq!(refused, expected, "{method} {path}: {}", answer.status);
    }
}

fn base64(text: &str) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    BASE64_STANDARD.encode(text)
}

#[test]
fn the_description_names_the_abilities_of_each_route() {
    let server = start();
    let document = server.send("GET", "/api/openapi.json", &[], None).json();
    for (method, path, need) in routes() {
        let operation = &document["paths"][path][method.to_lowercase()];
        let expected: Vec<Value> = match need {
            Ability(ability) | Service(Some(ability)) => vec![ability.into()],
            Admin => vec!["admin".into()],
            Nothing | LiveToken | Service(None) | Verify => Vec::new(),
        };
        let schemes = operation["security"].as_array().cloned().unwrap_or_default();
        let scopes: Vec<_> = schemes.iter().filter_map(|one| one["bearer"].as_array()).collect();
        assert_eq!(scopes.is_empty(), need == Nothing && path != "/api/tokens", "{method} {path}");
        for scopes in scopes {
            assert_eq!(scopes, &expected, "{method} {path}");
        }
    }
}
