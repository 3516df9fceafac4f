use bearerd::app;
use bearerd::domain::TokenPrefix;
use serde_json::json;

use crate::support::{EMAIL, INVALID_TOKEN, PASSWORD, Server, sha_256, start, start_with};

#[test]
fn a_user_logs_in_sends_requests_and_logs_out() {
    let server = start();
    let answer =
        server.log_in(json!({"email": EMAIL, "password": PASSWORD, "device_name": "laptop"}));
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["user"], json!({"id": 1, "name": "Ada Lovelace", "email": EMAIL}));
    assert_eq!(
        body["access_token"],
        json!({
            "id": 1, "kind": "login", "parent_id": null, "name": "laptop", "abilities": ["*"],
            "created_at": "2026-01-01T00:00:00Z", "last_used_at": null,
            "expires_at": "2026-01-31T00:00:00Z", "current": true,
        })
    );
    let token = answer.token();

    let user = server.get("/api/user", &token);
    assert_eq!(user.status, 200);
    assert_eq!(
        user.json(),
        json!({"data": {
            "id": 1, "name": "Ada Lovelace", "email": EMAIL, "abilities": ["*"], "admin": false,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        }})
    );

    let out = server.delete("/api/tokens/current", &token);
    assert_eq!((out.status, out.body.as_str()), (204, ""));
    server.get("/api/user", &token).assert_refused(INVALID_TOKEN);
    server.delete("/api/tokens/current", &token).assert_refused(INVALID_TOKEN);
}

#[test]
fn the_email_is_compared_without_case() {
    let server = start();
    let body = json!({"email": "ADA@Example.ORG", "password": PASSWORD, "device_name": "x"});
    assert_eq!(server.log_in(body).status, 201);
}

#[test]
fn a_wrong_password_an_unknown_email_and_a_disabled_user_are_refused_alike() {
    let server = start();
    let disabled = "bob@example.org";
    server.create_user(disabled, PASSWORD, &["*"]);
    server.db_execute(&format!("UPDATE users SET disabled_at = 1 WHERE email = '{disabled}'"));
    // The status, the headers without the date, the body, and how many passwords were hashed.
    let refuse = |email: &str, password: &str| {
        let hashes = || server.metric("bearerd_password_hash_duration_seconds_count");
        let before = hashes();
        let body = json!({"email": email, "password": password, "device_name": "x"});
        let mut answer = server.log_in(body);
        answer.headers.remove("date").unwrap();
        (answer.status, answer.headers, answer.body, hashes() - before)
    };
    let wrong = refuse(EMAIL, "wrong");
    let (status, _, body, hashes) = &wrong;
    let message =
        r#"{"message":"The provided credentials are incorrect.","code":"invalid_credentials"}"#;
    assert_eq!((*status, body.as_str(), *hashes), (401, message, 1));
    for (email, password) in
        [("nobody@example.org", PASSWORD), (disabled, PASSWORD), (disabled, "wrong")]
    {
        assert_eq!(refuse(email, password), wrong, "{email} {password}");
    }
}

#[test]
fn all_errors_of_a_login_are_reported_at_once() {
    let server = start();
    let answer = server.log_in(json!({}));
    assert_eq!(answer.status, 422);
    let body = answer.json();
    assert_eq!(body["message"], "The email field is required. (and 2 more errors)");
    assert_eq!(body["code"], "validation_failed");
    let fields: Vec<_> = body["errors"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["device_name", "email", "password"]);
}

#[test]
fn an_invalid_field_is_reported_by_its_name() {
    let server = start();
    for (field, value, text) in [
        ("email", json!("ada"), "must be a valid email address"),
        ("email", json!(5), "must be a string"),
        ("email", json!(null), "is required"),
        ("email", json!(["a@b.c"]), "must be a string"),
        ("email", json!("a".repeat(300) + "@b.c"), "longer than 254"),
        ("password", json!("x".repeat(73)), "longer than 72 bytes"),
        ("password", json!(""), "is required"),
        ("password", json!({"$ne": ""}), "must be a string"),
        ("device_name", json!("  "), "is required"),
        ("device_name", json!("x".repeat(256)), "longer than 255"),
        ("device_name", json!("a\u{0}b"), "control characters"),
        ("abilities", json!("posts:read"), "list of strings"),
        ("abilities", json!([5]), "list of strings"),
        ("abilities", json!(["a b"]), "printable ASCII"),
        ("abilities", json!(["x".repeat(101)]), "longer than 100"),
        ("abilities", json!(null), "list of strings"),
        ("expires_in", json!(null), "whole number from 1"),
        ("expires_in", json!(0), "whole number from 1"),
        ("expires_in", json!(-5), "whole number from 1"),
        ("expires_in", json!(1.5), "whole number from 1"),
        ("expires_in", json!("60"), "whole number from 1"),
        ("expires_in", json!(1e300), "whole number from 1"),
        ("abilites", json!(["posts:read"]), "is unknown"),
    ] {
        let mut body = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x"});
        body[field] = value;
        let answer = server.log_in(body);
        assert_eq!(answer.status, 422, "{field}: {}", answer.body);
        let errors = &answer.json()["errors"];
        assert_eq!(errors.as_object().unwrap().len(), 1, "{errors}");
        assert!(errors[field][0].as_str().unwrap().contains(text), "{errors}");
    }
    let everybody = app::block_on(server.auth.tokens_after(0, None)).unwrap();
    assert!(everybody.is_empty(), "a refused login must leave no token");
}

#[test]
fn a_repeated_field_is_refused() {
    let server = start();
    let body = format!(
        r#"{{"email":"{EMAIL}","password":"wrong","password":"{PASSWORD}","device_name":"x"}}"#
    );
    let request = format!(
        "POST /api/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, body) = server.send_raw(request.as_bytes());
    assert_eq!(status, 422);
    assert!(body.contains("must not be given twice"), "{body}");
}

#[test]
fn asking_for_abilities_that_the_user_lacks_is_refused() {
    let server = start();
    server.create_user("bob@example.org", PASSWORD, &["posts:*"]);
    let ask = |abilities: &[&str]| {
        server.log_in(json!({
            "email": "bob@example.org", "password": PASSWORD, "device_name": "x",
            "abilities": abilities,
        }))
    };
    assert_eq!(ask(&["posts:read", "posts:*"]).status, 201);
    assert_eq!(ask(&[]).status, 201);
    let answer = ask(&["posts:read", "users:read", "*"]);
    assert_eq!(answer.status, 422);
    let text = answer.json()["errors"]["abilities"][0].as_str().unwrap().to_owned();
    assert!(text.contains("users:read, *"), "{text}");
}

#[test]
fn the_users_abilities_are_checked_when_the_token_is_stored() {
    let server = start();
    let body = json!({
        "email": EMAIL, "password": PASSWORD, "device_name": "x", "abilities": ["users:read"],
    });
    let shrink = "UPDATE users SET abilities = 'posts:*'";
    let answer = server.db_change_during(shrink, 1, || server.log_in(body.clone()));
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert_eq!(
        answer.json()["errors"]["abilities"][0],
        "The abilities field asks for more than is held: users:read."
    );
    let grow = "UPDATE users SET abilities = '*'";
    assert_eq!(server.db_change_during(grow, 1, || server.log_in(body)).status, 201);
}

#[test]
fn five_logins_give_five_tokens_and_logging_out_ends_one() {
    let server = start();
    let body = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x"});
    let tokens: Vec<_> = (0..5).map(|_| server.log_in(body.clone()).token()).collect();
    assert_eq!(server.delete("/api/tokens/current", &tokens[2]).status, 204);
    for (i, token) in tokens.iter().enumerate() {
        let expected = if i == 2 { 401 } else { 200 };
        assert_eq!(server.get("/api/user", token).status, expected, "token {i}");
    }
}

#[test]
fn a_token_is_its_prefix_40_characters_and_their_crc_32() {
    for prefix in ["bd_", "acme_"] {
        let server = start_with(|config| config.token_prefix = TokenPrefix::parse(prefix).unwrap());
        let body = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x"});
        let token = server.log_in(body).token();
        let (secret, checksum) = token.strip_prefix(prefix).unwrap().split_at(40);
        assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{secret}");
        assert_eq!(checksum, format!("{:08x}", crc32fast::hash(secret.as_bytes())));
    }
}

#[test]
fn the_database_holds_the_sha_256_of_a_tokens_whole_string_and_never_the_string() {
    let mut server = start();
    let body = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x"});
    let token = server.log_in(body).token();
    assert_eq!(server.db_text("hex(digest)", "tokens"), sha_256(&token));
    let folder = server.config.database.parent().unwrap().to_owned();
    let assert_no_secret = || {
        for file in std::fs::read_dir(&folder).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let holds = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
            assert!(!holds(&token[3..43]) && !holds(PASSWORD));
        }
    };
    assert_no_secret();
    server.stop();
    assert_no_secret();
}

#[test]
fn a_hash_with_another_cost_is_accepted_and_replaced() {
    let stored = |server: &Server| {
        let file = std::fs::read(&server.config.database).unwrap();
        let text = String::from_utf8_lossy(&file).into_owned();
        text.find("$2b$").map(|at| text[at..at + 7].to_owned()).unwrap()
    };
    let mut server = start_with(|config| config.bcrypt_cost = 5);
    server.stop();
    assert_eq!(stored(&server), "$2b$05$");
    let mut server = server.restart(|config| config.bcrypt_cost = 4);
    let body = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x"});
    assert_eq!(server.log_in(body.clone()).status, 201);
    assert_eq!(server.log_in(body).status, 201);
    server.stop();
    assert_eq!(stored(&server), "$2b$04$");
}

#[test]
fn a_hash_from_laravel_is_accepted_and_replaced_if_its_cost_differs() {
    // Laravel's user factory gives this hash of `password` to every user.
    const HASH: &str = "$2y$10$92IXUNpkjO0rOQ5byMi.Ye4oKoEa3Ro9llC/.og/at2.uheWG/igi";
    for (cost, stored) in [(10, HASH), (4, "$2b$04$")] {
        let server = start_with(|config| config.bcrypt_cost = cost);
        server.db_execute(&format!("UPDATE users SET password_hash = '{HASH}'"));
        let log_in = |password: &str| {
            let body = json!({"email": EMAIL, "password": password, "device_name": "x"});
            server.log_in(body).status
        };
        let hash = || server.db_text("password_hash", "users");
        assert_eq!((log_in("Password"), hash().as_str()), (401, HASH));
        assert_eq!(log_in("password"), 201);
        assert!(hash().starts_with(stored), "cost {cost}: {}", hash());
        assert_eq!([log_in("password"), log_in("Password")], [201, 401]);
    }
}

#[test]
fn concurrent_logins_with_an_outdated_hash_all_succeed() {
    let server = start_with(|config| config.bcrypt_cost = 5);
    let server = server.restart(|config| config.bcrypt_cost = 4);
    let body = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x"});
    std::thread::scope(|scope| {
        let logins: Vec<_> =
            (0..8).map(|_| scope.spawn(|| server.log_in(body.clone()).status)).collect();
        for login in logins {
            assert_eq!(login.join().unwrap(), 201);
        }
    });
}
