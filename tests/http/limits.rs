use std::sync::atomic::{AtomicBool, Ordering};

use bearerd::domain::EmailChange;
use serde_json::{Value, json};

use crate::support::{Answer, EMAIL, PASSWORD, START, Server, start_with};

/// Starts a server with the default login limit, behind a proxy on the same machine.
fn limited() -> Server {
    start_with(|config| {
        config.login_attempts_per_minute = 5;
        config.email_change = EmailChange::Owner;
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
}

fn credentials(email: &str, password: &str) -> Value {
    json!({"email": email, "password": password, "device_name": "x"})
}

/// Logs in through the proxy, from a client with this address.
fn log_in_from(server: &Server, address: &str, body: &Value) -> Answer {
    server.send("POST", "/api/tokens", &[("X-Forwarded-For", address)], Some(body))
}

#[test]
fn the_sixth_attempt_in_a_minute_is_refused() {
    let server = limited();
    for second in 0..5 {
        server.set_clock(second);
        assert_eq!(server.log_in(credentials(EMAIL, "wrong")).status, 401);
    }
    server.set_clock(10);
    let refused = server.log_in(credentials(EMAIL, PASSWORD));
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("50"));
    assert_eq!(refused.header("x-ratelimit-limit"), Some("5"));
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    let reset = (START + 60).to_string();
    assert_eq!(refused.header("x-ratelimit-reset"), Some(reset.as_str()));
    assert_eq!(
        refused.json(),
        json!({"message": "Too Many Attempts.", "code": "too_many_attempts"})
    );
    server.set_clock(59);
    assert_eq!(server.log_in(credentials(EMAIL, PASSWORD)).header("retry-after"), Some("1"));
    server.set_clock(60);
    assert_eq!(server.log_in(credentials(EMAIL, PASSWORD)).status, 201);
}

#[test]
fn another_address_or_email_is_not_limited() {
    let server = limited();
    server.create_user("bob@example.org", PASSWORD, &["*"]);
    let ada = credentials(EMAIL, PASSWORD);
    for _ in 0..5 {
        log_in_from(&server, "192.0.2.1", &credentials(EMAIL, "wrong"));
    }
    assert_eq!(log_in_from(&server, "192.0.2.1", &ada).status, 429);
    assert_eq!(log_in_from(&server, "198.51.100.9, 192.0.2.1", &ada).status, 429);
    assert_eq!(log_in_from(&server, "192.0.2.2", &ada).status, 201);
    let bob = credentials("bob@example.org", PASSWORD);
    assert_eq!(log_in_from(&server, "192.0.2.1", &bob).status, 201);
    assert_eq!(log_in_from(&server, "192.0.2.1", &ada).status, 429, "Bob's success is not Ada's");
}

#[test]
fn an_address_is_refused_after_fifty_attempts_with_different_emails() {
    let server = limited();
    let attempt = |address: &str, i: i32| {
        let email = format!("user{i}@example.org");
        log_in_from(&server, address, &credentials(&email, "wrong"))
    };
    for i in 0..50 {
        assert_eq!(attempt("2001:db8::1", i).status, 401);
    }
    let refused = attempt("2001:db8::2", 50);
    assert_eq!((refused.status, refused.header("x-ratelimit-limit")), (429, Some("50")));
    assert_eq!(attempt("2001:db8:0:1::1", 50).status, 401);
}

#[test]
fn a_client_cannot_avoid_the_limit_with_x_forwarded_for() {
    let server = start_with(|config| config.login_attempts_per_minute = 5);
    let statuses = (0..6).map(|i| {
        log_in_from(&server, &format!("192.0.2.{i}"), &credentials(EMAIL, "wrong")).status
    });
    assert_eq!(statuses.collect::<Vec<_>>(), [401, 401, 401, 401, 401, 429]);
}

#[test]
fn a_successful_login_clears_the_attempts() {
    let server = limited();
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(server.log_in(credentials(EMAIL, "wrong")).status, 401);
        }
        assert_eq!(server.log_in(credentials("ADA@example.org", PASSWORD)).status, 201);
    }
}

#[test]
fn a_refused_attempt_reads_nothing_from_the_database() {
    let server = limited();
    for _ in 0..5 {
        server.log_in(credentials(EMAIL, "wrong"));
    }
    server.db_execute("ALTER TABLE users RENAME TO elsewhere");
    assert_eq!(server.log_in(credentials("Ada@Example.org", PASSWORD)).status, 429);
    let reads = server.log_in(credentials("bob@example.org", PASSWORD));
    assert_eq!(reads.status, 500, "an attempt that reads");
    let body = json!({"message": "Server Error", "code": "server_error"});
    assert_eq!(reads.json(), body);
}

#[test]
fn at_most_five_concurrent_attempts_pass() {
    let server = limited();
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let attempt = || server.log_in(credentials(EMAIL, "wrong")).status;
        let threads: Vec<_> = (0..20).map(|_| scope.spawn(attempt)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|&&other| other == status).count();
    assert_eq!((count(401), count(429)), (5, 15), "{statuses:?}");
}

#[test]
fn an_invalid_body_does_not_count_as_an_attempt() {
    let server = limited();
    for _ in 0..10 {
        assert_eq!(server.log_in(json!({"email": EMAIL, "password": "wrong"})).status, 422);
    }
    assert_eq!(server.log_in(credentials(EMAIL, PASSWORD)).status, 201);
}

#[test]
fn wrong_current_passwords_count_as_login_attempts() {
    let server = limited();
    let token = server.issue(&["account:write"]);
    let header = format!("Bearer {token}");
    let put = |address: &str, path: &str, body: &Value| {
        let headers = [("Authorization", header.as_str()), ("X-Forwarded-For", address)];
        server.send("PUT", path, &headers, Some(body))
    };
    let password = |current: &str| {
        let body = json!({"current_password": current, "password": PASSWORD});
        put("192.0.2.1", "/api/user/password", &body)
    };
    let email = |address: &str, current: &str| {
        let body = json!({"name": "x", "email": "b@example.org", "current_password": current});
        put(address, "/api/user", &body)
    };
    for _ in 0..4 {
        assert_eq!(password("wrong").status, 422);
    }
    assert_eq!(password(PASSWORD).status, 204, "which clears them");
    assert_eq!(log_in_from(&server, "192.0.2.1", &credentials(EMAIL, "wrong")).status, 401);
    for _ in 0..2 {
        assert_eq!(password("wrong").status, 422);
        assert_eq!(email("192.0.2.1", "wrong").status, 422);
    }
    let refused = [
        password(PASSWORD),
        email("192.0.2.1", PASSWORD),
        log_in_from(&server, "192.0.2.1", &credentials(EMAIL, PASSWORD)),
    ];
    for refused in refused {
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")));
        assert_eq!(refused.header("x-ratelimit-limit"), Some("5"));
    }
    let name = json!({"name": "Countess", "email": EMAIL});
    assert_eq!(put("192.0.2.1", "/api/user", &name).status, 200, "a name takes no password");
    assert_eq!(email("192.0.2.2", PASSWORD).status, 200, "from elsewhere");
}

#[test]
fn three_hundred_guesses_at_one_account_from_sixty_addresses_are_stopped_at_fifty() {
    // An email without an account is limited in the same way, so that the limit reveals nothing.
    for email in [EMAIL, "nobody@example.org"] {
        let server = limited();
        let guess = |i: i32| {
            log_in_from(&server, &format!("192.0.2.{}", i % 60), &credentials(email, "wrong"))
        };
        let answers: Vec<_> = std::thread::scope(|scope| {
            let eighth = |first| move || (first..300).step_by(8).map(guess).collect::<Vec<_>>();
            let threads: Vec<_> = (0..8).map(|first| scope.spawn(eighth(first))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(401), count(429)), (50, 250), "{email}");
        let refused = log_in_from(&server, "198.51.100.1", &credentials(email, PASSWORD));
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")), "{email}");
        assert_eq!(refused.header("x-ratelimit-limit"), Some("50"), "{email}");
        server.set_clock(60);
        assert_ne!(log_in_from(&server, "198.51.100.1", &credentials(email, "x")).status, 429);
    }
}

#[test]
fn guesses_from_many_addresses_do_not_block_the_networks_of_the_owners_latest_logins() {
    let server = limited();
    let right = credentials(EMAIL, PASSWORD);
    let wrong = credentials(EMAIL, "wrong");
    for home in ["203.0.113.1", "2001:db8:0:1::1"] {
        assert_eq!(log_in_from(&server, home, &right).status, 201);
    }
    server.set_clock(3600);
    for i in 0..60 {
        let expected = if i < 50 { 401 } else { 429 };
        assert_eq!(log_in_from(&server, &format!("192.0.2.{i}"), &wrong).status, expected);
    }
    assert_eq!(log_in_from(&server, "198.51.100.1", &right).status, 429, "from elsewhere");
    assert_eq!(log_in_from(&server, "2001:db8:0:1::2", &right).status, 201);
    for expected in [401, 401, 401, 401, 401, 429] {
        assert_eq!(log_in_from(&server, "203.0.113.1", &wrong).status, expected);
    }
}

/// The address of Ada's first login.
const HOME: &str = "203.0.113.1";

/// Keeps the password queue full from this many addresses, while Ada logs in from the addresses `from`.
fn log_in_during_a_flood(addresses: i32, from: fn(i32) -> String) {
    let server = start_with(|config| {
        config.bcrypt_cost = 6;
        config.login_attempts_per_minute = 1_000_000;
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let right = credentials(EMAIL, PASSWORD);
    assert_eq!(log_in_from(&server, HOME, &right).status, 201);
    let ended = AtomicBool::new(false);
    let flood = &|client: i32| {
        let address = format!("192.0.2.{}", client % addresses);
        let wrong = credentials(&format!("user{client}@example.org"), "wrong");
        let mut refused = 0;
        while !ended.load(Ordering::Relaxed) {
            let answer = log_in_from(&server, &address, &wrong);
            if answer.status == 503 {
                assert_eq!(answer.json()["code"], "overloaded");
                refused += 1;
            }
        }
        refused
    };
    std::thread::scope(|scope| {
        let clients = (0..96).map(|client| scope.spawn(move || flood(client)));
        let clients: Vec<_> = clients.collect();
        while server.metric(r#"bearerd_queue_rejections_total{queue="passwords"}"#) == 0 {
            std::thread::yield_now();
        }
        let log_in = |i| log_in_from(&server, &from(i), &right).status;
        let statuses: Vec<_> = (0..10).map(log_in).collect();
        ended.store(true, Ordering::Relaxed);
        assert_eq!(statuses, [201; 10]);
        assert!(clients.into_iter().map(|client| client.join().unwrap()).sum::<i32>() > 0);
    });
}

#[test]
fn logins_from_other_addresses_succeed_while_twelve_addresses_fill_the_queue() {
    log_in_during_a_flood(12, |i| format!("198.51.100.{i}"));
}

#[test]
fn logins_from_a_known_network_succeed_while_96_addresses_fill_the_queue() {
    log_in_during_a_flood(96, |_| HOME.to_owned());
}
