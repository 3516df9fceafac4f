//! No request and no sweep may scan a table. This test asks SQLite for the plan of every statement that the
//! server runs.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use bearerd::app::{self, Server};
use bearerd::auth::{
    Actor, AuthorizedToken, Check, Credentials, NewUser, TokenRequest, UserUpdate,
};
use bearerd::config::Config;
use bearerd::domain::{Abilities, Email, EmailChange, Name, Password, Requirement};
use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use diesel::sql_types::Text;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};

static STATEMENTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn record() -> Option<Box<dyn Instrumentation>> {
    Some(Box::new(|event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            let statement = text.split(" -- binds").next().unwrap().to_owned();
            STATEMENTS.lock().unwrap().insert(statement);
        }
    }))
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[test]
fn no_request_and_no_sweep_scans_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        database: folder.path().join("test.sqlite"),
        listen: ([127, 0, 0, 1], 0).into(),
        bcrypt_cost: 4,
        email_change: EmailChange::Owner,
        // So that the sweep deletes tokens that have just been revoked.
        retention: Duration::ZERO,
        // So that the last logins exceed it.
        max_tokens_per_user: Some(3),
        ..Config::default()
    };
    // Opening the database may scan the small table of migrations, so it is not recorded.
    app::block_on(async {
        app::Services::open(&config, app::system_clock()).unwrap().close().await;
    });
    set_default_instrumentation(record).unwrap();
    app::block_on(async {
        let server = Server::start(&config, app::system_clock(), None).await.unwrap();
        STATEMENTS.lock().unwrap().clear();
        exercise(&server).await;
        server.run_until(async {}).await.unwrap();
    });
    let statements = STATEMENTS.lock().unwrap().clone();
    let about_rows = |text: &&String| {
        ["tokens", "users", "bulk_revocations", "email_owners"]
            .iter()
            .any(|table| text.contains(table))
    };
    let statements: Vec<_> = statements.iter().filter(about_rows).collect();
    let deletions = statements.iter().filter(|text| text.starts_with("DELETE")).count();
    assert!(statements.len() >= 12 && deletions == 7, "{statements:#?}");
    let path = config.database.to_string_lossy();
    let mut connection = SqliteConnection::establish(&path).unwrap();
    for statement in statements {
        let plan: Vec<Step> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {statement}"))
            .load(&mut connection)
            .unwrap();
        for Step { detail } in plan {
            // The result of a subquery may be scanned. The plan has a separate step for the subquery itself.
            let of_subquery = detail.starts_with("SCAN (subquery")
                || detail == "SCAN unrevoked_tokens"
                // It has one row for each user, and the sweeper alone reads it.
                || detail == "SCAN token_counts";
            let scans = detail.starts_with("SCAN") && detail != "SCAN CONSTANT ROW" && !of_subquery;
            let wasteful = scans || detail.contains("TEMP B-TREE");
            assert!(!wasteful, "{detail}: {statement}");
        }
    }
}

/// Runs every operation of the store that a request or the sweeper uses.
async fn exercise(server: &Server) {
    let auth = server.bearerd().auth();
    let email = Email::parse("ada@example.org").unwrap();
    let password = Password::chosen("long enough".to_owned()).unwrap();
    let name = Name::parse("Ada").unwrap();
    let request = TokenRequest { name: name.clone(), abilities: None, expires_in: None };
    auth.create_user(
        Actor::Operator,
        NewUser {
            name,
            email: email.clone(),
            password: password.clone(),
            abilities: Abilities::all(),
            admin: false,
        },
    )
    .await
    .unwrap();
    let from = [127, 0, 0, 1].into();
    let credentials = Credentials { email: email.clone(), password: password.clone() };
    let (issued, owner) = auth.log_in(credentials.clone(), request.clone(), from).await.unwrap();
    auth.issue(email, request.clone()).await.unwrap();
    let Check::Unknown(presented) = auth.check(issued.plain.expose().as_bytes()) else {
        panic!("nobody has checked it yet");
    };
    let session = auth.look_up(&presented).await.unwrap();
    server.bearerd().note_uses().await;
    assert_eq!(auth.tokens_of(owner.id, 1, 15).await.unwrap().total, 2);
    let bearer = AuthorizedToken::admit(session, Requirement::LiveToken).unwrap();
    let by = Actor::Token(&bearer);
    let (other, _) = auth.issue_by_token(&bearer, request.clone()).await.unwrap();
    auth.rename(&bearer, other.token.id, request.name.clone()).await.unwrap();
    auth.revoke(by, other.token.id, Some(owner.id)).await.unwrap();
    let other = Email::parse("countess@example.org").unwrap();
    let own = (request.name.clone(), other.clone(), Some(password.clone()));
    auth.update_own(&bearer, own.0, own.1, own.2, from).await.unwrap();
    auth.change_own_password(&bearer, password.clone(), password.clone(), from).await.unwrap();
    let update = UserUpdate { email: Some(other.clone()), ..UserUpdate::default() };
    auth.update_user(Actor::Operator, owner.id, update).await.unwrap();
    auth.revoke_sent(&bearer, b"unknown").await.unwrap();
    auth.log_out(&bearer).await.unwrap();
    let credentials = Credentials { email: other, ..credentials };
    for _ in 0..4 {
        auth.log_in(credentials.clone(), request.clone(), from).await.unwrap();
    }
    auth.revoke_all(Actor::Operator, owner.id, None).await.unwrap();
    auth.ready().await.unwrap();
    server.bearerd().sweep().await.unwrap();
    auth.delete_user(Actor::Operator, owner.id).await.unwrap();
}
