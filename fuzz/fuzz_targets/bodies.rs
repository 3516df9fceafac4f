//! JSON bodies, sent to the routes that read one. What is accepted is what a second reader finds in the body,
//! and a new token gets the abilities and the lifetime that its body names.
#![no_main]

use std::collections::HashSet;
use std::fmt;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use bearerd::config::Config;
use bearerd_fuzz::service::Service;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

const ROUTES: [(Method, &str, &[&str]); 6] = [
    (Method::POST, "/api/tokens", &["device_name", "abilities", "expires_in"]),
    (Method::PATCH, "/api/tokens/{id}", &["device_name"]),
    (Method::PUT, "/api/user", &["name", "email", "current_password"]),
    (
        Method::POST,
        "/api/explain",
        &["token", "method", "host", "uri", "destination", "ability", "any", "abilities", "from"],
    ),
    (Method::POST, "/api/users", &[]),
    (Method::PATCH, "/api/users/1", &[]),
];

thread_local! {
    // Never dropped: at the end of the process, parts of it are gone already.
    static SERVICE: &'static Service = Box::leak(Box::new(Service::start(Config::default())));
}

// The first byte chooses the route, the rest is the body.
fuzz_target!(|data: &[u8]| {
    let Some((route, body)) = data.split_first() else { return };
    let (method, path, known) = &ROUTES[usize::from(*route) % ROUTES.len()];
    SERVICE.with(|service| {
        let path = path.replace("{id}", &service.token_id.to_string());
        let send = |body: &[u8]| {
            let request = TestRequest::default().method(method.clone()).uri(&path);
            let request = request.insert_header(("Content-Type", "application/json"));
            service.send(request.set_payload(body.to_vec()))
        };
        let answer = send(body);
        let Ok(Body(fields)) = serde_json::from_slice(body) else {
            // A field given twice is an error of its own: it is unknown which value was meant.
            assert!([400, 413, 422].contains(&answer.status), "{}", answer.status);
            return;
        };
        if ![200, 201, 204].contains(&answer.status) {
            return;
        }
        let is_known = |field: &String| known.is_empty() || known.contains(&field.as_str());
        assert!(fields.keys().all(is_known), "{fields:?}");
        match answer.status {
            201 if path == "/api/tokens" => {
                let token = &answer.json()["access_token"];
                is_what_was_asked_for(&fields, token);
                let path = format!("/api/tokens/{}", token["id"]);
                assert_eq!(service.send(TestRequest::delete().uri(&path)).status, 204);
            }
            201 => {
                let path = format!("/api/users/{}", answer.json()["data"]["id"]);
                assert_eq!(service.send(TestRequest::delete().uri(&path)).status, 204);
            }
            _ => {}
        }
        // The same fields in another spelling have the same effect.
        if path == "/api/explain" {
            let again = serde_json::to_vec_pretty(&fields).expect("JSON");
            assert_eq!(send(&again).status, answer.status);
        }
    });
});

fn is_what_was_asked_for(fields: &Map<String, Value>, token: &Value) {
    let mut seen = HashSet::new();
    let first = |ability: &&Value| seen.insert(ability.as_str().map(str::to_owned));
    match fields.get("abilities") {
        Some(asked) => {
            let asked: Vec<&Value> =
                asked.as_array().expect("a list").iter().filter(first).collect();
            assert_eq!(token["abilities"], json!(asked));
        }
        // By default, a token has those of its issuer.
        None => assert_eq!(token["abilities"][0], "*"),
    }
    match fields.get("expires_in") {
        Some(seconds) => assert!(token["expires_at"].is_string() && seconds.as_f64() > Some(0.0)),
        None => assert!(token["expires_at"].is_null()),
    }
    let name = fields["device_name"].as_str().expect("a name");
    assert!(name.contains(token["name"].as_str().expect("a name")), "{name:?}");
}

/// An object in which each field occurs once.
struct Body(Map<String, Value>);

impl<'de> serde::Deserialize<'de> for Body {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> serde::de::Visitor<'de> for Object {
            type Value = Body;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
                let mut fields = Map::new();
                while let Some((field, value)) = map.next_entry::<String, Value>()? {
                    if fields.insert(field, value).is_some() {
                        return Err(serde::de::Error::custom("a field occurs twice"));
                    }
                }
                Ok(Body(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
