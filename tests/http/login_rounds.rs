//! The time that a refused password takes must reveal nothing about the account. These tests count the
//! rounds of bcrypt, which take nearly all of that time.

use serde_json::{Value, json};

use bearerd::domain::EmailChange;

use crate::support::{Answer, EMAIL, PASSWORD, Server, start_with};

const DISABLED: &str = "bob@example.org";
const NOBODY: &str = "nobody@example.org";

fn credentials(email: &str, password: &str) -> Value {
    json!({"email": email, "password": password, "device_name": "x"})
}

fn hash(password: &str, cost: u32) -> String {
    bcrypt::hash(password, cost).unwrap()
}

/// Gives a user this hash, as another process would.
fn db_set_hash(server: &Server, email: &str, hash: &str) {
    server
        .db_execute(&format!("UPDATE users SET password_hash = '{hash}' WHERE email = '{email}'"));
}

fn db_hash_of(server: &Server, email: &str) -> String {
    server.db_text("password_hash", &format!("users WHERE email = '{email}'"))
}

/// The status of the answer to a request, and the rounds of bcrypt that it took.
fn counted(server: &Server, request: impl FnOnce() -> Answer) -> (u16, u64) {
    let rounds = || server.metric("bearerd_bcrypt_rounds_total");
    let before = rounds();
    let status = request().status;
    (status, rounds() - before)
}

/// Starts a server with an enabled and a disabled user, whose hashes have these costs.
fn start_with_costs(setting: u32, enabled: u32, disabled: u32) -> Server {
    let mut server = start_with(|config| config.email_change = EmailChange::Owner);
    server.create_user(DISABLED, PASSWORD, &["*"]);
    server.db_execute(&format!("UPDATE users SET disabled_at = 1 WHERE email = '{DISABLED}'"));
    db_set_hash(&server, EMAIL, &hash(PASSWORD, enabled));
    db_set_hash(&server, DISABLED, &hash(PASSWORD, disabled));
    server.stop();
    server.restart(|config| config.bcrypt_cost = setting)
}

#[test]
fn every_refused_login_takes_the_rounds_of_the_highest_cost() {
    for (setting, enabled, disabled) in
        [(5, 5, 5), (7, 5, 5), (5, 7, 7), (6, 5, 8), (6, 8, 5), (4, 5, 6)]
    {
        let highest = 1 << setting.max(enabled).max(disabled);
        for first in 0..4 {
            // Each attempt is once the first after a start.
            let server = start_with_costs(setting, enabled, disabled);
            let mut attempts =
                [(NOBODY, PASSWORD), (EMAIL, "wrong"), (DISABLED, PASSWORD), (DISABLED, "wrong")];
            attempts.rotate_left(first);
            for (email, password) in attempts {
                let log_in = || server.log_in(credentials(email, password));
                assert_eq!(
                    counted(&server, log_in),
                    (401, highest),
                    "{email}, {password}; costs {setting}, {enabled}, {disabled}"
                );
            }
        }
    }
}

#[test]
fn a_hash_that_cannot_be_checked_takes_the_same_rounds() {
    let server = start_with_costs(5, 6, 7);
    let broken = [
        // Costs that would take minutes, a cost below bcrypt's minimum, and no cost.
        format!("$2b$31${}", &hash(PASSWORD, 4)[7..]),
        format!("$2b$16${}", &hash(PASSWORD, 4)[7..]),
        format!("$2b$03${}", &hash(PASSWORD, 4)[7..]),
        format!("$2b$0x${}", &hash(PASSWORD, 4)[7..]),
        "$2b$15$short".to_owned(),
        format!("1234{}", "15".repeat(28)),
        format!("$argon2id$v=19{}", "é".repeat(23)),
        "zzzzzzzzz".to_owned(),
        String::new(),
    ];
    for broken in broken {
        db_set_hash(&server, EMAIL, &broken);
        for email in [EMAIL, NOBODY, DISABLED] {
            let log_in = || server.log_in(credentials(email, PASSWORD));
            assert_eq!(counted(&server, log_in), (401, 1 << 7), "{email}, {broken}");
        }
    }
}

#[test]
fn a_higher_cost_stored_by_another_process_counts_from_the_next_login() {
    let server = start_with_costs(4, 4, 4);
    let unknown = || server.log_in(credentials(NOBODY, PASSWORD));
    assert_eq!(counted(&server, unknown), (401, 1 << 4));
    db_set_hash(&server, DISABLED, &hash(PASSWORD, 8));
    assert_eq!(counted(&server, unknown), (401, 1 << 8));
}

#[test]
fn every_refused_current_password_takes_the_rounds_of_the_highest_cost() {
    let server = start_with_costs(5, 6, 8);
    let token = server.issue(&["account:write"]);
    let email = json!({"name": "Ada", "email": "a@example.org", "current_password": "wrong"});
    let password = json!({"current_password": "wrong", "password": "another password"});
    for (path, body) in [("/api/user", email), ("/api/user/password", password)] {
        let put = || server.send_json("PUT", path, &token, &body);
        assert_eq!(counted(&server, put), (422, 1 << 8), "{path}");
    }
}

#[test]
fn a_disabled_users_hash_is_not_replaced() {
    let server = start_with_costs(6, 5, 5);
    let before = db_hash_of(&server, DISABLED);
    assert_eq!(server.log_in(credentials(DISABLED, PASSWORD)).status, 401);
    assert_eq!(db_hash_of(&server, DISABLED), before);
    let log_in = || server.log_in(credentials(EMAIL, PASSWORD));
    assert_eq!(counted(&server, log_in), (201, (1 << 5) + (1 << 6)), "a check and a new hash");
    assert!(db_hash_of(&server, EMAIL).starts_with("$2b$06$"));
    assert_eq!(counted(&server, log_in), (201, 1 << 6));
}

#[test]
fn a_login_during_which_the_account_changes_takes_the_rounds_of_the_highest_cost() {
    let other = hash("another password", 6);
    for change in ["disabled_at = 1".to_owned(), format!("password_hash = '{other}'")] {
        let server = start_with_costs(6, 6, 6);
        let sql = format!("UPDATE users SET {change} WHERE email = '{EMAIL}'");
        let log_in = || server.log_in(credentials(EMAIL, PASSWORD));
        let taken = counted(&server, || server.db_change_during(&sql, 1, log_in));
        assert_eq!(taken, (401, 1 << 6), "{change}");
    }
}
