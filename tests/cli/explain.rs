use serde_json::{Value, json};

use crate::support::{Place, stderr};

const RULES: &str = "
trusted_proxies = [\"127.0.0.1\"]
forward_auth_headers = \"x-forwarded\"
[[rules]]
path = \"/open\"
public = true
[[rules]]
path = \"/posts/**\"
all = [\"posts:write\"]
";

#[test]
fn explain_lists_each_check_and_how_to_pass_it() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    std::fs::write(place.path().join("bearerd.toml"), RULES).unwrap();
    let by_id = place.print(&["explain", "1", "--uri", "/posts/1", "--from", "127.0.0.1"]);
    assert!(by_id.contains("rule 2 matches"), "{by_id}");
    assert!(by_id.ends_with("allowed: /api/verify answers 200\n"), "{by_id}");
    let sent = place.run_with_input(&["explain", "--uri", "/posts/1"], &format!("{token}\n"));
    let sent = String::from_utf8(sent.stdout).unwrap();
    assert!(sent.ends_with("allowed: /api/verify answers 200\n"), "{sent}");
    assert!(!sent.contains(&token), "{sent}");

    place.print(&["token", "revoke", "1"]);
    let refused = place.print(&["explain", "1", "--uri", "/posts/1"]);
    assert!(refused.contains("fail  revoked: ") && refused.contains("to pass: "), "{refused}");
    assert!(refused.ends_with("refused: /api/verify answers 401\n"), "{refused}");
    let public = place.print(&["explain", "--uri", "/open"]);
    assert!(public.ends_with("allowed: /api/verify answers 200\n"), "{public}");
    let copy = ["explain", "--method", "COPY", "--uri", "/open", "--destination", "/posts/1"];
    let copy = place.print(&copy);
    assert!(copy.contains("pass  destination: rule 2 matches: "), "{copy}");
    assert!(copy.ends_with("refused: /api/verify answers 401\n"), "{copy}");
    let stranger = place.print(&["explain", "--uri", "/open", "--from", "192.0.2.1"]);
    assert!(stranger.ends_with("refused: /api/verify answers 400\n"), "{stranger}");
}

#[test]
fn explain_prints_json() {
    let place = Place::new();
    place.create_ada();
    place.issue();
    let text = place.print(&["explain", "1", "--ability", "posts:read", "--json"]);
    let explanation: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&explanation["allowed"], &explanation["status"]), (&json!(true), &json!(200)));
    assert_eq!(explanation["checks"][0]["check"], "rule");
    let usage = place.run(&["explain", "1", "--from", "here"]);
    assert_eq!(usage.status.code(), Some(2), "{}", stderr(&usage));
}
