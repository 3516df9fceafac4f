use serde_json::{Value, json};

use crate::support::{ADMIN, EMAIL, INVALID_TOKEN, PASSWORD, start};

#[test]
fn administration_needs_an_administrator_and_the_ability() {
    let server = start();
    let admin = server.issue_admin();
    assert_eq!(server.get("/api/users", &admin).status, 200);
    let plain_user = server.issue(&["*"]);
    let narrow = server.issue_for(ADMIN, &["tokens:*"], None);
    for token in [plain_user, narrow] {
        let answer = server.get("/api/users", &token);
        assert_eq!(answer.status, 403);
        assert!(answer.header("www-authenticate").unwrap().contains(r#"scope="admin""#));
    }
}

#[test]
fn users_are_created_listed_changed_and_deleted() {
    let server = start();
    let admin = server.issue_admin();
    let body = json!({
        "name": "Bob", "email": "bob@example.org", "password": PASSWORD, "abilities": ["posts:*"],
    });
    let answer = server.send_json("POST", "/api/users", &admin, &body);
    assert_eq!(answer.status, 201, "{}", answer.body);
    let bob = answer.json()["data"].clone();
    assert_eq!(
        (&bob["id"], &bob["admin"], &bob["disabled_at"]),
        (&json!(3), &json!(false), &json!(null))
    );
    assert_eq!(server.send_json("POST", "/api/users", &admin, &body).status, 422, "taken");

    let list = server.get("/api/users?per_page=2", &admin).json();
    assert_eq!(list["meta"], json!({"current_page": 1, "last_page": 2, "per_page": 2, "total": 3}));
    assert_eq!(list["links"]["next"], "/api/users?page=2&per_page=2");
    assert_eq!(server.get("/api/users/3", &admin).json()["data"], bob);

    let token = server.issue_for("bob@example.org", &["posts:read"], None);
    assert_eq!(server.get("/api/user", &token).status, 200, "now it is cached");
    let patch = |body: Value| server.send_json("PATCH", "/api/users/3", &admin, &body);
    assert_eq!(patch(json!({"name": "Robert"})).json()["data"]["name"], "Robert");
    assert_eq!(server.get("/api/user", &token).json()["data"]["name"], "Robert");
    assert!(patch(json!({"disabled": true})).json()["data"]["disabled_at"].is_string());
    server.get("/api/user", &token).assert_refused(INVALID_TOKEN);
    assert_eq!(patch(json!({"disabled": false})).status, 200);
    assert_eq!(server.get("/api/user", &token).status, 200, "the token works again");
    assert_eq!(patch(json!({"password": "another password"})).status, 200);
    assert_eq!(server.get("/api/user", &token).status, 401, "a new password revokes");
    for bad in [
        json!({"name": ""}),
        json!({"admin": 1}),
        json!({"nmae": "x"}),
        json!({"email": "ADA@example.org"}),
    ] {
        assert_eq!(patch(bad).status, 422);
    }

    let token = server.issue_for("bob@example.org", &["posts:read"], None);
    assert_eq!(server.get("/api/user", &token).status, 200, "now it is cached");
    assert_eq!(server.delete("/api/users/3", &admin).status, 204);
    server.get("/api/user", &token).assert_refused(INVALID_TOKEN);
    for id in ["3", "0", "x"] {
        assert_eq!(server.get(&format!("/api/users/{id}"), &admin).status, 404);
        assert_eq!(server.delete(&format!("/api/users/{id}"), &admin).status, 404);
    }
}

#[test]
fn a_name_that_hides_or_reverses_text_is_refused_wherever_one_is_set() {
    let server = start();
    let (admin, token) = (server.issue_admin(), server.issue(&["account:write", "tokens:write"]));
    for hidden in ['\u{202e}', '\u{2028}', '\u{200b}', '\u{a0}', '\u{3000}', '\u{e000}', '\u{9b}'] {
        let name = format!("A{hidden}da");
        let user = json!({"name": name, "email": "bob@example.org", "password": PASSWORD});
        let own = json!({"name": name, "email": EMAIL});
        let login = json!({"email": EMAIL, "password": PASSWORD, "device_name": name});
        for (method, path, token, body, field) in [
            ("POST", "/api/users", &admin, &user, "name"),
            ("PATCH", "/api/users/1", &admin, &json!({"name": name}), "name"),
            ("PUT", "/api/user", &token, &own, "name"),
            ("POST", "/api/tokens", &token, &json!({"device_name": name}), "device_name"),
            ("POST", "/api/tokens", &token, &login, "device_name"),
            ("PATCH", "/api/tokens/1", &token, &json!({"device_name": name}), "device_name"),
        ] {
            let answer = server.send_json(method, path, token, body);
            assert_eq!(answer.status, 422, "{method} {path} {hidden:?}");
            let text = answer.json()["errors"][field][0].as_str().unwrap().to_owned();
            let number = format!("U+{:04X}", u32::from(hidden));
            assert!(text.contains(&number), "{text}");
        }
    }
    for name in ["山田 太郎", "علی\u{200c}رضا", "👩\u{200d}🚀", "jose\u{301}"] {
        let answer = server.send_json("PATCH", "/api/users/1", &admin, &json!({"name": name}));
        assert_eq!((answer.status, &answer.json()["data"]["name"]), (200, &json!(name)));
    }
}

#[test]
fn an_administrator_sees_and_revokes_the_tokens_of_a_user() {
    let server = start();
    let admin = server.issue_admin();
    let tokens: Vec<_> = (0..3).map(|_| server.issue(&["*"])).collect();
    let list = server.get("/api/users/1/tokens", &admin).json();
    assert_eq!(list["meta"]["total"], 3);
    assert_eq!(server.delete("/api/users/2/tokens/2", &admin).status, 404, "not this user's");
    assert_eq!(server.delete("/api/users/1/tokens/2", &admin).status, 204);
    assert_eq!(server.get("/api/user", &tokens[0]).status, 401);
    assert_eq!(server.get("/api/user", &tokens[1]).status, 200);
    assert_eq!(server.delete("/api/users/1/tokens", &admin).status, 204);
    assert_eq!(server.get("/api/user", &tokens[1]).status, 401);
    assert_eq!(server.get("/api/users", &admin).status, 200);
}

#[test]
fn the_last_enabled_administrator_cannot_be_removed() {
    let server = start();
    let admin = server.issue_admin();
    let patch = |id: i64, body: Value| {
        server.send_json("PATCH", &format!("/api/users/{id}"), &admin, &body).status
    };
    for body in [json!({"admin": false}), json!({"disabled": true})] {
        assert_eq!(patch(2, body), 422);
    }
    assert_eq!(server.delete("/api/users/2", &admin).status, 422);
    assert_eq!(patch(1, json!({"admin": true, "disabled": true})), 200);
    assert_eq!(patch(2, json!({"admin": false})), 422, "a disabled one doesn't count");
    assert_eq!(
        patch(2, json!({"abilities": ["posts:*"]})),
        422,
        "nor does one without the ability"
    );
    assert_eq!(patch(1, json!({"disabled": false})), 200);
    assert_eq!(patch(2, json!({"admin": false})), 200);
    assert_eq!(server.get("/api/users", &admin).status, 403, "{EMAIL} administrates now");
}

#[test]
fn taking_abilities_from_a_user_takes_them_from_every_token_at_once() {
    let server = start();
    let admin = server.issue_admin();
    let token = server.issue(&["*"]);
    assert_eq!(server.get("/api/tokens", &token).status, 200);
    let body = json!({"abilities": ["posts:read"]});
    assert_eq!(server.send_json("PATCH", "/api/users/1", &admin, &body).status, 200);
    assert_eq!(server.get("/api/tokens", &token).status, 403);
}

#[test]
fn an_administrator_logged_out_while_the_body_arrives_changes_nothing() {
    use std::io::{Read, Write};
    let server = start();
    let admin = server.issue_admin();
    let body = json!({
        "name": "Eve", "email": "eve@example.org", "password": PASSWORD, "admin": true,
    })
    .to_string();
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST /api/users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {admin}\r\n\
         Content-Type: application/json\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The handler asks for the body, so the guard has let the request through.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    assert_eq!(server.delete("/api/tokens/current", &admin).status, 204);
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 401"), "{answer}");
    assert_eq!(
        server
            .log_in(json!({"email": "eve@example.org", "password": PASSWORD, "device_name": "x"}))
            .status,
        401
    );
}

#[test]
fn an_administrator_who_loses_access_while_a_password_is_hashed_changes_nothing() {
    let server = start();
    let admin = server.issue_admin();
    let eve = json!({"name": "Eve", "email": "eve@example.org", "password": PASSWORD});
    let new = json!({"password": "another password"});
    for (loss, status) in [
        ("UPDATE tokens SET revoked_at = 1", 401),
        ("UPDATE tokens SET expires_at = 1", 401),
        ("UPDATE users SET disabled_at = 1", 401),
        ("UPDATE users SET admin = 0", 403),
        ("UPDATE users SET abilities = 'posts:*'", 403),
        ("UPDATE tokens SET abilities = 'posts:*'", 403),
    ] {
        for (method, path, body) in [("POST", "/api/users", &eve), ("PATCH", "/api/users/1", &new)]
        {
            assert_eq!(server.get("/api/users", &admin).status, 200, "now it is cached");
            let request = || server.send_json(method, path, &admin, body);
            let answer = server.db_change_during(loss, 1, request);
            assert_eq!(answer.status, status, "{method} {loss}: {}", answer.body);
            server.db_execute(
                "UPDATE tokens SET revoked_at = NULL, expires_at = NULL, abilities = 'admin';
                 UPDATE users SET disabled_at = NULL, admin = id = 2, abilities = '*'",
            );
        }
    }
    assert_eq!(server.get("/api/users", &admin).json()["meta"]["total"], 2);
    let body = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x"});
    assert_eq!(server.log_in(body).status, 201);
}

#[test]
fn administrators_cannot_change_their_own_password_or_email_here() {
    let server = start();
    let admin = server.issue_admin();
    let patch = |id: i64, body: Value| {
        server.send_json("PATCH", &format!("/api/users/{id}"), &admin, &body)
    };
    for (body, field, route) in [
        (json!({"password": "another password"}), "password", "PUT /api/user/password"),
        (json!({"email": "eve@example.org"}), "email", "PUT /api/user."),
        (json!({"email": ADMIN}), "email", "PUT /api/user."),
    ] {
        let answer = patch(2, body.clone());
        assert_eq!(answer.status, 422, "{body}");
        let text = answer.json()["errors"][field][0].as_str().unwrap().to_owned();
        assert!(text.contains(route), "{text}");
    }
    let body = json!({"email": ADMIN, "password": PASSWORD, "device_name": "x"});
    assert_eq!(server.log_in(body).status, 201, "nothing was changed");
    assert_eq!(patch(2, json!({"name": "Root"})).status, 200);
    assert_eq!(patch(1, json!({"password": "another one", "email": "a@example.org"})).status, 200);
}
