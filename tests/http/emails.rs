//! Which emails are allowed, which spellings find an account, and for whom emails are reserved.

use bearerd::domain::EmailChange;
use serde_json::{Value, json};

use crate::support::{ADMIN, Answer, EMAIL, PASSWORD, Server, start, start_with};

/// A server on which users change their own emails.
fn start_open() -> Server {
    start_with(|config| config.email_change = EmailChange::Owner)
}

fn log_in(server: &Server, email: &str) -> Answer {
    server.log_in(json!({"email": email, "password": PASSWORD, "device_name": "x"}))
}

fn create(server: &Server, admin: &str, email: &str) -> Answer {
    let body = json!({"name": "x", "email": email, "password": PASSWORD});
    server.send_json("POST", "/api/users", admin, &body)
}

fn put(server: &Server, token: &str, email: &str) -> Answer {
    let body = json!({"name": "x", "email": email, "current_password": PASSWORD});
    server.send_json("PUT", "/api/user", token, &body)
}

fn fault(answer: &Answer) -> String {
    assert_eq!(answer.status, 422, "{}", answer.body);
    answer.json()["errors"]["email"][0].as_str().unwrap().to_owned()
}

#[test]
fn a_look_alike_email_is_refused_wherever_one_is_set() {
    let server = start_open();
    let (admin, token) = (server.issue_admin(), server.issue(&["account:write"]));
    for email in [
        "root@ｅxample.com",
        "rооt@example.com",
        "root@exаmple.com",
        "root@xn--exmple-4nf.com",
        "r\u{200b}oot@example.com",
        "\u{251}da@example.org",
    ] {
        fault(&create(&server, &admin, email));
        let body = json!({"email": email});
        fault(&server.send_json("PATCH", "/api/users/1", &admin, &body));
        fault(&put(&server, &token, email));
    }
}

#[test]
fn all_spellings_of_an_email_find_one_account() {
    let server = start();
    let admin = server.issue_admin();
    for (email, spellings) in [
        ("user@தமிழ்.இந்தியா", &["USER@xn--rlcus7b3d.xn--xkc2dl3a5ee0h"][..]),
        ("ผู้ใช้@ตัวอย่าง.ไทย", &[]),
        ("उपयोगकर्ता@उदाहरण.भारत", &[]),
        ("jose\u{301}@example.org", &["josé@example.org", "JOSÉ@EXAMPLE.ORG"]),
        ("u@bücher.example", &["u@BÜCHER.example", "U@XN--BCHER-KVA.example"]),
    ] {
        assert_eq!(create(&server, &admin, email).status, 201, "{email}");
        for spelling in spellings.iter().chain(&[email]) {
            assert_eq!(log_in(&server, spelling).status, 201, "{spelling}");
            let taken = fault(&create(&server, &admin, spelling));
            assert_eq!(taken, "The email has already been taken.", "{spelling}");
        }
    }
}

#[test]
fn all_spellings_of_an_email_share_one_login_limit() {
    let server = start_with(|config| config.login_attempts_per_minute = 2);
    server.create_user("jörg@example.org", PASSWORD, &["*"]);
    let guess = |email: &str| {
        server.log_in(json!({"email": email, "password": "wrong", "device_name": "x"})).status
    };
    assert_eq!([guess("jörg@example.org"), guess("JÖRG@example.org")], [401, 401]);
    assert_eq!(guess("jo\u{308}rg@example.org"), 429);
}

#[test]
fn an_account_with_an_email_no_longer_allowed_works_and_can_change_it() {
    let server = start_open();
    let old = "root@ｅxample.com";
    server.create_user("old@example.org", PASSWORD, &["*"]);
    server.db_execute(&format!("UPDATE users SET email = '{old}' WHERE id = 2"));
    let token = log_in(&server, old).token();
    let verified = server.get("/api/verify", &token);
    assert_eq!(verified.status, 200);
    assert_eq!(verified.headers["remote-user"].as_bytes(), old.as_bytes());
    let stays = json!({"name": "Old", "email": old});
    let answer = server.send_json("PUT", "/api/user", &token, &stays);
    assert_eq!((answer.status, &answer.json()["data"]["name"]), (200, &json!("Old")));
    assert_eq!(put(&server, &token, "new@example.org").status, 200);
    assert_eq!(log_in(&server, "new@example.org").status, 201);
    assert_eq!(log_in(&server, old).status, 401);
    fault(&put(&server, &token, old));
}

#[test]
fn an_account_can_keep_a_name_no_longer_allowed() {
    let server = start_open();
    let old = "Ada\u{a0}Lovelace";
    server.db_execute(&format!("UPDATE users SET name = '{old}' WHERE id = 1"));
    let token = server.issue(&["account:write"]);
    let put = |name: &str, email: &str| {
        let body = json!({"name": name, "email": email, "current_password": PASSWORD});
        server.send_json("PUT", "/api/user", &token, &body)
    };
    let answer = put(old, "countess@example.org");
    assert_eq!((answer.status, &answer.json()["data"]["name"]), (200, &json!(old)));
    assert_eq!(put("Countess\u{a0}Lovelace", "countess@example.org").status, 422);
}

#[test]
fn a_login_with_a_refused_email_reveals_nothing_about_accounts() {
    let server = start();
    let old = "root@ｅxample.com";
    server.create_user("old@example.org", PASSWORD, &["*"]);
    server.db_execute(&format!("UPDATE users SET email = '{old}' WHERE id = 2"));
    let hashes = || server.metric("bearerd_password_hash_duration_seconds_count");
    for email in [old, "boss@ｅxample.com", "u@xn--a.example"] {
        let before = hashes();
        let body = json!({"email": email, "password": "wrong password", "device_name": "x"});
        let answer = server.log_in(body);
        assert_eq!((answer.status, hashes() - before), (401, 1), "{email}: {}", answer.body);
        assert_eq!(answer.json()["code"], "invalid_credentials");
    }
    fault(&log_in(&server, "ada"));
    fault(&log_in(&server, "a b@example.org"));
}

#[test]
fn changing_the_spelling_of_an_email_needs_the_password() {
    let server = start_open();
    server.create_user("jörg@bücher.example", PASSWORD, &["*"]);
    let token = server.issue_for("jörg@bücher.example", &["account:write"], None);
    let put = |email: &str| {
        server.send_json("PUT", "/api/user", &token, &json!({"name": "x", "email": email}))
    };
    for email in ["Jörg@bücher.example", "JÖRG@bücher.example"] {
        let answer = put(email);
        assert_eq!(answer.status, 422);
        assert!(answer.json()["errors"]["current_password"].is_array(), "{}", answer.body);
    }
    for email in ["jörg@bücher.example", "jo\u{308}rg@xn--bcher-kva.example"] {
        assert_eq!(put(email).status, 200, "it is stored in the same spelling");
    }
}

#[test]
fn users_can_change_their_email_only_if_a_setting_allows_it() {
    let server = start();
    let token = server.issue(&["account:write"]);
    for email in ["boss@example.org", "ADA@example.org"] {
        let answer = put(&server, &token, email);
        assert_eq!(answer.status, 403);
        assert_eq!(answer.json()["code"], "email_change_disabled");
        assert_eq!(answer.header("www-authenticate"), None);
    }
    assert_eq!(put(&server, &token, EMAIL).status, 200, "a name is theirs to change");
    let admin = server.issue_admin();
    let body = json!({"email": "countess@example.org"});
    assert_eq!(server.send_json("PATCH", "/api/users/1", &admin, &body).status, 200);
}

#[test]
fn an_administrator_changes_their_own_email_with_the_password() {
    let server = start();
    server.issue_admin();
    let token = server.issue_for(ADMIN, &["account:write"], None);
    let body = |password: &str| json!({"name": "Root", "email": "chief@example.org", "current_password": password});
    let change = |password| server.send_json("PUT", "/api/user", &token, &body(password));
    let without = json!({"name": "Root", "email": "chief@example.org"});
    assert_eq!(server.send_json("PUT", "/api/user", &token, &without).status, 422);
    assert_eq!(change("a wrong password").status, 422);
    assert_eq!(change(PASSWORD).json()["data"]["email"], "chief@example.org");
}

const RESERVED: &str = "The email is reserved for its last owner. An administrator can let another user \
                        have it, with reuse_email.";

#[test]
fn an_email_stays_reserved_for_its_last_owner_until_an_administrator_frees_it() {
    let server = start_open();
    let (admin, token) = (server.issue_admin(), server.issue(&["account:write"]));
    server.create_user("bob@example.org", PASSWORD, &["*"]);
    let bob = server.issue_for("bob@example.org", &["account:write"], None);
    assert_eq!(put(&server, &token, "countess@example.org").status, 200);
    assert_eq!(fault(&put(&server, &bob, "ADA@example.org")), RESERVED);
    assert_eq!(fault(&create(&server, &admin, EMAIL)), RESERVED);
    assert_eq!(put(&server, &token, EMAIL).status, 200, "its last owner takes it back");
    assert_eq!(put(&server, &token, "countess@example.org").status, 200);

    let patch =
        |id: u8, body: Value| server.send_json("PATCH", &format!("/api/users/{id}"), &admin, &body);
    assert_eq!(fault(&patch(3, json!({"email": EMAIL, "reuse_email": false}))), RESERVED);
    assert_eq!(patch(3, json!({"email": EMAIL, "reuse_email": true})).status, 200);
    let taken = "The email has already been taken.";
    assert_eq!(fault(&put(&server, &token, EMAIL)), taken, "it is Bob's now");
    let countess = json!({"email": "Countess@example.org", "reuse_email": true});
    assert_eq!(fault(&patch(3, countess)), taken, "no email of somebody's is freed");

    assert_eq!(server.delete("/api/users/1", &admin).status, 204);
    assert_eq!(fault(&put(&server, &bob, "countess@example.org")), RESERVED);
    let mut body = json!({"name": "x", "email": "countess@example.org", "password": PASSWORD});
    body["reuse_email"] = json!(true);
    assert_eq!(server.send_json("POST", "/api/users", &admin, &body).status, 201);
}

#[test]
fn an_email_that_could_not_be_set_is_not_reserved() {
    let server = start_open();
    let (admin, token) = (server.issue_admin(), server.issue(&["account:write"]));
    server.db_execute(
        "CREATE TRIGGER no BEFORE UPDATE ON users BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    assert!(put(&server, &token, "countess@example.org").status >= 500);
    assert_eq!(create(&server, &admin, "countess@example.org").status, 201);
}

#[test]
fn the_email_of_an_account_that_another_program_stored_stays_reserved_after_its_deletion() {
    let server = start();
    let admin = server.issue_admin();
    server.db_execute(
        "INSERT INTO users (name, email, password_hash, abilities, created_at, updated_at)
             SELECT 'Bob', 'bob@example.org', password_hash, '*', 0, 0 FROM users WHERE id = 1",
    );
    assert_eq!(log_in(&server, "BOB@example.org").status, 201);
    assert_eq!(
        fault(&create(&server, &admin, "bob@example.org")),
        "The email has already been taken."
    );
    assert_eq!(server.delete("/api/users/3", &admin).status, 204);
    assert_eq!(fault(&create(&server, &admin, "bob@example.org")), RESERVED);
}

#[test]
fn at_most_ten_emails_are_reserved_for_a_user() {
    let server = start_open();
    let (admin, token) = (server.issue_admin(), server.issue(&["account:write"]));
    for i in 2..=10 {
        assert_eq!(put(&server, &token, &format!("ada{i}@example.org")).status, 200);
    }
    let text = fault(&put(&server, &token, "ada11@example.org"));
    assert!(text.contains("An administrator"), "{text}");
    assert_eq!(create(&server, &admin, "ada11@example.org").status, 201, "it is not reserved");
    assert_eq!(put(&server, &token, EMAIL).status, 200, "one of the ten");
    let body = json!({"email": "ada12@example.org"});
    assert_eq!(server.send_json("PATCH", "/api/users/1", &admin, &body).status, 200);
}
