//! Who may call which route. The routes come from the API's description, which is made from the
//! route table, so that none can be left out; what each must need is written here a second time.
//! A row of the table that asks for less than this page fails, and so does a row that is not here.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{ADMIN, Answer, EMAIL, INVALID_TOKEN, NO_CREDENTIALS, Server, start};
use Need::{Ability, Admin, LiveToken, Nothing, Service, Verify};

/// What a route must need of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    LiveToken,
    Ability(&'static str),
    /// An administrator, with a token that has `admin`.
    Admin,
    /// Another service: a token with this ability, if one is named. HTTP Basic is offered too.
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

/// Every ability that a route of the server's own asks for, and one that none does.
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

/// Every ability but this one.
fn all_but(ability: &str) -> Vec<&'static str> {
    ABILITIES.into_iter().filter(|other| *other != ability).collect()
}

/// A request to a route, whose ids name nothing.
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
fn every_route_is_on_this_page_and_no_other_is() {
    let here = routes().map(|(method, path, _)| (method.to_owned(), path.to_owned()));
    assert_eq!(here.collect::<BTreeSet<_>>(), described(&start()));
}

#[test]
fn no_route_but_the_open_ones_answers_without_a_live_token() {
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
fn no_route_lets_a_token_through_that_lacks_what_it_needs() {
    let server = start();
    server.issue_admin();
    for (method, path, need) in routes() {
        let row = format!("{method} {path}");
        let with = |email: &str, abilities: &[&str]| {
            // Some of the routes end the token that asks.
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
                // Administration is no other right.
                assert_lacks(&with(ADMIN, &all_but(ability)), ability, &row);
                assert_lets_through(&with(EMAIL, &[ability]), &row);
            }
            Admin => {
                assert_lacks(&with(ADMIN, &all_but("admin")), "admin", &row);
                assert_eq!(with(EMAIL, &ABILITIES).status, 403, "{row} as no administrator");
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
fn verify_needs_the_abilities_that_its_query_names() {
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
fn a_route_that_offers_basic_takes_the_token_as_its_password_and_no_other_does() {
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
fn the_description_says_what_a_route_needs() {
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
