use serde_json::{Value, json};

use crate::support::{Place, stderr};

#[test]
fn users_are_created_and_listed() {
    let place = Place::new();
    place.create_ada();
    let create = ["user", "create", "--email", "bob@example.org", "--name", "Bob", "--admin"];
    let abilities = ["--ability", "posts:read", "--ability", "posts:write"];
    let output = place.run_with_input(&[&create[..], &abilities].concat(), "another password\n");
    assert!(output.status.success(), "{}", stderr(&output));
    let rows: Value = serde_json::from_str(&place.print(&["user", "list", "--json"])).unwrap();
    assert_eq!(rows[0]["email"], "ada@example.org");
    assert_eq!(rows[0]["abilities"], json!(["*"]));
    assert_eq!(rows[1]["admin"], true);
    assert_eq!(rows[1]["abilities"], json!(["posts:read", "posts:write"]));
    let table = place.print(&["user", "list"]);
    assert!(table.starts_with("ID  EMAIL"), "{table}");
    assert_eq!(table.lines().count(), 3);
}

#[test]
fn an_email_can_belong_to_only_one_user() {
    let place = Place::new();
    place.create_ada();
    let again = ["user", "create", "--email", "ADA@example.org", "--name", "Ada"];
    let output = place.run_with_input(&again, "correct horse\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "bearerd: The email has already been taken.\n");
}

#[test]
fn a_reserved_email_can_be_reused_with_a_flag() {
    let place = Place::new();
    place.create_ada();
    place.print(&["user", "delete", "ada@example.org"]);
    let again = ["user", "create", "--email", "ada@example.org", "--name", "Ada"];
    let output = place.run_with_input(&again, "correct horse\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("reserved for its last owner"), "{}", stderr(&output));
    let output =
        place.run_with_input(&[&again[..], &["--reuse-email"]].concat(), "correct horse\n");
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn users_are_shown_changed_and_deleted_while_a_server_runs() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let server = place.serve();
    assert_eq!(server.status(&token), 200, "now it is cached");
    let ada = "ada@example.org";
    assert_eq!(
        place.print(&["user", "disable", "ADA@example.org"]),
        "user disabled: ada@example.org; `bearerd user enable` lets the user's tokens work again\n"
    );
    server.await_status(&token, 401);
    let enabled = "tokens that are neither revoked nor expired work again";
    let enabled = format!("user enabled: ada@example.org; {enabled}\n");
    assert_eq!(place.print(&["user", "enable", ada]), enabled);
    server.await_status(&token, 200);
    assert_eq!(
        place.print(&["user", "abilities", ada, "posts:read", "posts:write"]),
        "abilities changed for ada@example.org: posts:read posts:write\n"
    );
    let shown: Value =
        serde_json::from_str(&place.print(&["user", "show", ada, "--json"])).unwrap();
    assert_eq!(shown["abilities"], json!(["posts:read", "posts:write"]));
    let output = place.run_with_input(&["user", "password", ada], "a new password\n");
    assert!(output.status.success(), "{}", stderr(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, "password changed for ada@example.org; 1 token revoked\n");
    server.await_status(&token, 401);
    let deleted = "user deleted: ada@example.org, with all tokens\n";
    assert_eq!(place.print(&["user", "delete", ada]), deleted);
    let nobody = place.run(&["user", "show", ada]);
    assert_eq!(
        (nobody.status.code(), stderr(&nobody).as_str()),
        (
            Some(1),
            "bearerd: there is no user with the email ada@example.org; `bearerd user list` shows all users\n"
        )
    );
}
