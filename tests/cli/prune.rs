use diesel::connection::SimpleConnection;
use serde_json::Value;

use crate::support::Place;

/// Adds a token for Ada. Its name says how many minutes ago it was created, expired and was revoked.
fn db_insert_token(place: &Place, created: i64, expired: Option<i64>, revoked: Option<i64>) {
    let ago = |minutes: Option<i64>| {
        minutes.map_or("NULL".to_owned(), |minutes| format!("unixepoch() - {minutes} * 60"))
    };
    let shown = |ago: Option<i64>| ago.map_or("-".to_owned(), |minutes| minutes.to_string());
    let name = [Some(created), expired, revoked].map(shown).join(" ");
    let insert = format!(
        "INSERT INTO tokens (user_id, name, digest, abilities, created_at, expires_at, revoked_at)
         VALUES (1, '{name}', randomblob(32), '*', {}, {}, {})",
        ago(Some(created)),
        ago(expired),
        ago(revoked)
    );
    place.db_connect().batch_execute(&insert).unwrap();
}

#[test]
fn prune_removes_tokens_that_have_been_dead_for_the_given_duration() {
    for (ttl, removed, kept) in [
        (
            "60m",
            "3 tokens removed: 1 revoked, 2 expired\n",
            &["179 - -", "121 - -", "150 119 -", "150 - 119"][..],
        ),
        (
            "never",
            "2 tokens removed: 1 revoked, 1 expired\n",
            &["181 - -", "179 - -", "121 - -", "150 119 -", "150 - 119"],
        ),
    ] {
        let place = Place::new();
        place.create_ada();
        for (created, expired, revoked) in [
            (181, None, None),
            (179, None, None),
            (121, None, None),
            (150, Some(121), None),
            (150, Some(119), None),
            (150, None, Some(121)),
            (150, None, Some(119)),
        ] {
            db_insert_token(&place, created, expired, revoked);
        }
        assert_eq!(place.print(&["prune", "--older-than", "2h", "--token-ttl", ttl]), removed);
        let rows: Value = serde_json::from_str(&place.print(&["token", "list", "--json"])).unwrap();
        let names: Vec<_> = rows.as_array().unwrap().iter().map(|row| &row["name"]).collect();
        assert_eq!(names, kept, "token_ttl is {ttl}");
    }
}

#[test]
fn prune_reports_how_many_tokens_it_removed() {
    let place = Place::new();
    place.create_ada();
    place.issue();
    place.print(&["token", "revoke", "1"]);
    assert_eq!(
        place.print(&["prune", "--older-than", "1h"]),
        "0 tokens removed: 0 revoked, 0 expired\n"
    );
    assert_eq!(
        place.print(&["prune", "--older-than", "0s"]),
        "1 token removed: 1 revoked, 0 expired\n"
    );
}
