use serde_json::json;

use crate::support::{EMAIL, PASSWORD, start};

#[test]
fn what_happens_is_counted_and_no_label_is_taken_from_a_request() {
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

    let metrics = server.send("GET", "/metrics", &[], None);
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4"));
    for line in [
        r#"bearerd_http_request_duration_seconds_count{method="GET",route="/api/user",status="200"} 3"#,
        r#"bearerd_http_request_duration_seconds_count{method="GET",route="/api/user",status="401"} 1"#,
        r#"bearerd_http_request_duration_seconds_count{method="DELETE",route="/api/tokens/{id}",status="404"} 1"#,
        r#"bearerd_logins_total{outcome="success"} 1"#,
        r#"bearerd_logins_total{outcome="refused"} 1"#,
        r#"bearerd_logins_total{outcome="invalid"} 1"#,
        r#"bearerd_token_checks_total{outcome="malformed"} 1"#,
        r#"bearerd_token_checks_total{outcome="miss"} 1"#,
        r#"bearerd_token_checks_total{outcome="hit"} 4"#,
        r#"bearerd_tokens_total{fate="issued"} 1"#,
        r#"bearerd_tokens_total{fate="revoked"} 1"#,
        "bearerd_password_hash_duration_seconds_count 5",
        r#"bearerd_queue_length{queue="writes"} 0"#,
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line}\n{}", metrics.body);
    }
    assert!(!metrics.body.contains("77777") && !metrics.body.contains(EMAIL));
}
