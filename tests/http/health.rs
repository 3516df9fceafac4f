use bearerd::app;
use serde_json::json;

use crate::support::{EMAIL, PASSWORD, Server, start};

#[test]
fn events_are_counted_and_no_label_comes_from_a_request() {
    let server = start();
    let log_in = |password: &str| {
        server.log_in(json!({"email": EMAIL, "password": password, "device_name": "x"}))
    };
    let token = log_in(PASSWORD).token();
    assert_eq!(log_in("wrong").status, 401);
    server.create_user("bob@example.org", PASSWORD, &["posts:*"]);
    let too_much = json!({
        "email": "bob@example.org", "password": PASSWORD, "device_name": "x", "abilities": ["*"],
    });
    assert_eq!(server.log_in(too_much).status, 422);
    for _ in 0..3 {
        assert_eq!(server.get("/api/user", &token).status, 200);
    }
    let broken = format!("{}00000000", &token[..43]);
    assert_eq!(server.get("/api/user", &broken).status, 401);
    assert_eq!(server.delete("/api/tokens/77777", &token).status, 404);
    assert_eq!(server.delete("/api/tokens/current", &token).status, 204);
    assert_eq!(server.send("GET", "/api/77777", &[], None).status, 404);
    let odd = b"X77777 /api/77777 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(server.send_raw(odd).0, 404);
    assert_eq!(server.send("PATCH", "/api/user", &[], None).status, 405);
    assert_eq!(server.send("GET", "/", &[], None).status, 200);
    assert_eq!(server.send("POST", "/", &[], None).status, 405);

    let metrics = server.send("GET", "/metrics", &[], None);
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4"));
    for line in [
        r#"bearerd_http_request_duration_seconds_count{method="GET",route="/api/user",status="200"} 3"#,
        r#"bearerd_http_request_duration_seconds_count{method="GET",route="/api/user",status="401"} 1"#,
        r#"bearerd_http_request_duration_seconds_count{method="DELETE",route="/api/tokens/{id}",status="404"} 1"#,
        r#"bearerd_http_request_duration_seconds_count{method="GET",route="unmatched",status="404"} 1"#,
        r#"bearerd_http_request_duration_seconds_count{method="other",route="unmatched",status="404"} 1"#,
        r#"bearerd_http_request_duration_seconds_count{method="PATCH",route="/api/user",status="405"} 1"#,
        r#"bearerd_http_request_duration_seconds_count{method="GET",route="pages",status="200"} 1"#,
        r#"bearerd_http_request_duration_seconds_count{method="POST",route="pages",status="405"} 1"#,
        r#"bearerd_logins_total{outcome="success"} 1"#,
        r#"bearerd_logins_total{outcome="refused"} 1"#,
        r#"bearerd_logins_total{outcome="invalid"} 1"#,
        r#"bearerd_token_checks_total{outcome="malformed"} 1"#,
        r#"bearerd_token_checks_total{outcome="miss"} 1"#,
        r#"bearerd_token_checks_total{outcome="hit"} 4"#,
        r#"bearerd_token_events_total{event="issued"} 1"#,
        r#"bearerd_token_events_total{event="revoked"} 1"#,
        "# TYPE bearerd_commit_batch_size histogram",
        "# TYPE bearerd_token_uses_dropped_total counter",
        "bearerd_token_uses_dropped_total 0",
        "bearerd_password_hash_duration_seconds_count 5",
        r#"bearerd_queue_length{queue="writes"} 0"#,
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line}\n{}", metrics.body);
    }
    assert!(!metrics.body.contains("77777") && !metrics.body.contains(EMAIL));
}

/// The value of a series in `/metrics`, if it has one.
fn series_value(server: &Server, series: &str) -> Option<f64> {
    let metrics = server.send("GET", "/metrics", &[], None).body;
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn counters_and_queue_lengths_start_at_zero() {
    let server = start();
    for (family, label, words) in [
        ("logins_total", "outcome", vec!["success", "refused", "limited", "invalid", "failed"]),
        ("queue_rejections_total", "queue", vec!["reads", "writes", "passwords"]),
        ("queue_length", "queue", vec!["reads", "writes", "passwords"]),
        ("token_events_total", "event", vec!["issued", "revoked", "purged"]),
        ("token_checks_total", "outcome", vec!["hit", "miss", "malformed"]),
        ("checkpoints_total", "result", vec!["complete", "partial", "failed"]),
    ] {
        for word in words {
            let series = format!("bearerd_{family}{{{label}=\"{word}\"}}");
            assert_eq!(series_value(&server, &series), Some(0.0), "{series}");
        }
    }
}

#[test]
fn malformed_requests_have_a_counter() {
    assert!(series_value(&start(), "bearerd_malformed_requests_total").is_some());
}

#[test]
fn a_sweep_counts_live_tokens_without_those_of_disabled_users() {
    let server = start();
    server.create_user("bob@example.org", PASSWORD, &["*"]);
    for email in [EMAIL, "bob@example.org", "bob@example.org"] {
        server.issue_for(email, &["*"], None);
    }
    let count = || {
        app::block_on(server.bearerd.sweep()).unwrap();
        series_value(&server, "bearerd_tokens_live")
    };
    assert_eq!(series_value(&server, "bearerd_tokens_live"), None);
    assert_eq!(count(), Some(3.0));
    server.db_execute("UPDATE users SET disabled_at = 1 WHERE id = 2");
    assert_eq!(count(), Some(1.0));
}

#[test]
fn tokens_revoked_by_a_new_password_or_a_deleted_user_are_counted() {
    let server = start();
    let revoked = || series_value(&server, r#"bearerd_token_events_total{event="revoked"}"#);
    let admin = server.issue_admin();
    let tokens: Vec<_> = (0..3).map(|_| server.issue(&["account:write"])).collect();
    let body = json!({"current_password": PASSWORD, "password": "a new password"});
    assert_eq!(server.send_json("PUT", "/api/user/password", &tokens[0], &body).status, 204);
    assert_eq!(revoked(), Some(2.0));
    let body = json!({"password": PASSWORD});
    assert_eq!(server.send_json("PATCH", "/api/users/1", &admin, &body).status, 200);
    assert_eq!(revoked(), Some(3.0));
    server.issue(&["*"]);
    assert_eq!(server.delete("/api/users/1", &admin).status, 204);
    assert_eq!(revoked(), Some(4.0), "those revoked before are not counted twice");
}

#[test]
fn health_checks_answer_get_and_head() {
    let server = start();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.send("GET", path, &[], None).status, 200);
        let head = server.send("HEAD", path, &[], None);
        assert_eq!((head.status, head.body.as_str()), (200, ""));
    }
}
