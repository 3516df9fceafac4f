use std::sync::atomic::{AtomicBool, Ordering};

use bearerd::app;
use bearerd::auth::{Error, Purged};
use bearerd::domain::Lifetime;
use futures_util::poll;

use crate::support::{EMAIL, START, Server, start_with};

const MINUTE: i64 = 60;

fn sweep(server: &Server) -> Purged {
    app::block_on(server.bearerd.sweep()).unwrap()
}

fn ids(server: &Server) -> Vec<i64> {
    let mut ids = Vec::new();
    loop {
        let after = ids.last().copied().unwrap_or_default();
        let page = app::block_on(server.auth.tokens_after(after, None)).unwrap();
        if page.is_empty() {
            return ids;
        }
        ids.extend(page.iter().map(|(token, _)| token.id));
    }
}

#[test]
fn dead_tokens_are_deleted_after_the_retention() {
    let server = start_with(|config| config.token_ttl = Lifetime::NEVER);
    let revoked = server.issue(&["*"]);
    server.issue_for(EMAIL, &["*"], Some(MINUTE));
    let live = server.issue(&["*"]);
    assert_eq!(server.delete("/api/tokens/current", &revoked).status, 204);
    let day = 24 * 60 * MINUTE;
    server.set_clock(day - 1);
    assert_eq!(sweep(&server), Purged { revoked: 0, expired: 0 });
    server.set_clock(day);
    assert_eq!(sweep(&server), Purged { revoked: 1, expired: 0 });
    server.set_clock(day + MINUTE);
    assert_eq!(sweep(&server), Purged { revoked: 0, expired: 1 });
    server.set_clock(1000 * day);
    assert_eq!(sweep(&server), Purged::default());
    assert_eq!(server.get("/api/user", &live).status, 200);
}

#[test]
fn prune_counts_from_the_time_a_token_died() {
    let server = start_with(|config| config.token_ttl = Lifetime::seconds(60 * MINUTE));
    let base = 1000 * MINUTE;
    for created_ago in [181, 179, 121] {
        server.set_clock(base - created_ago * MINUTE);
        server.issue(&["*"]);
    }
    server.set_clock(base);
    let hours = |hours: u64| std::time::Duration::from_secs(hours * 3600);
    let purged = app::block_on(server.auth.prune(Some(hours(2)))).unwrap();
    assert_eq!(purged, Purged { revoked: 0, expired: 1 });
    assert_eq!(ids(&server), [2, 3]);
}

#[test]
fn without_a_token_ttl_no_token_is_pruned_because_of_its_age() {
    let server = start_with(|config| config.token_ttl = Lifetime::NEVER);
    let base = 1000 * MINUTE;
    for expired_ago in [121, 119] {
        server.set_clock(base - (expired_ago + 10) * MINUTE);
        server.issue_for(EMAIL, &["*"], Some(10 * MINUTE));
    }
    server.set_clock(0);
    server.issue(&["*"]);
    server.set_clock(base);
    let purged = app::block_on(server.auth.prune(Some(std::time::Duration::from_secs(7200))));
    assert_eq!(purged.unwrap(), Purged { revoked: 0, expired: 1 });
    assert_eq!(ids(&server), [2, 3]);
}

#[test]
fn a_deleted_token_stays_dead_if_the_clock_is_set_back() {
    let server = start_with(|config| config.token_ttl = Lifetime::NEVER);
    let token = server.issue_for(EMAIL, &["*"], Some(MINUTE));
    assert_eq!(server.get("/api/user", &token).status, 200);
    server.set_clock(2 * 24 * 60 * MINUTE);
    assert_eq!(sweep(&server), Purged { revoked: 0, expired: 1 });
    server.set_clock(0);
    assert_eq!(server.get("/api/user", &token).status, 401);
}

#[test]
fn a_sweep_deletes_the_tokens_of_bulk_revocations_and_of_deleted_users() {
    let server = start_with(|config| config.token_ttl = Lifetime::NEVER);
    let admin = server.issue_admin();
    let revoke_others = |token: &str| {
        assert_eq!(server.delete("/api/tokens?except=current", token).status, 204);
    };
    let first = server.issue(&["tokens:write"]);
    server.issue(&["*"]);
    revoke_others(&first);
    server.set_clock(23 * 60 * MINUTE);
    let second = server.issue(&["tokens:write"]);
    revoke_others(&second);
    // Nothing to revoke, nothing to delete.
    revoke_others(&second);
    assert_eq!(server.db_text("CAST(count(*) AS TEXT)", "bulk_revocations"), "2");
    assert_eq!(sweep(&server), Purged::default(), "they have not been dead for long enough");
    server.set_clock(25 * 60 * MINUTE);
    assert_eq!(sweep(&server), Purged { revoked: 1, expired: 0 }, "not what died later");
    server.set_clock(48 * 60 * MINUTE);
    assert_eq!(sweep(&server), Purged { revoked: 1, expired: 0 });
    assert_eq!(server.get("/api/user", &second).status, 200);
    assert_eq!(server.delete("/api/users/1", &admin).status, 204);
    assert_eq!(sweep(&server), Purged { revoked: 1, expired: 0 }, "at once");
    assert_eq!(ids(&server).len(), 1);
    assert_eq!(server.db_text("CAST(count(*) AS TEXT)", "bulk_revocations"), "0");
    assert_eq!(server.get("/api/user", &admin).status, 200);
}

/// Adds 400,000 tokens for Ada: a quarter is revoked, and a quarter expires after a minute.
fn db_insert_400_000_tokens(server: &Server) {
    server.db_execute(&format!(
        "WITH RECURSIVE row(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM row WHERE i < 400000)
         INSERT INTO tokens
             (user_id, name, digest, abilities, created_at, expires_at, revoked_at)
         SELECT 1, 'bulk', randomblob(32), '*', {START},
             CASE WHEN i % 4 = 0 THEN {START} + 60 END,
             CASE WHEN i % 4 = 1 THEN {START} END
         FROM row"
    ));
}

#[test]
fn a_large_sweep_fails_no_request_and_deletes_no_live_token() {
    let server = start_with(|config| {
        config.token_ttl = Lifetime::NEVER;
        config.max_tokens_per_user = None;
    });
    db_insert_400_000_tokens(&server);
    let tokens: Vec<_> = (0..4).map(|_| server.issue(&["*"])).collect();
    server.set_clock(2 * 24 * 60 * MINUTE);
    let (swept, address) = (&AtomicBool::new(false), server.address);
    let issued = std::thread::scope(|scope| {
        let clients: Vec<_> = tokens
            .iter()
            .map(|token| {
                scope.spawn(move || {
                    let header = format!("Bearer {token}");
                    let agent = ureq::Agent::new_with_defaults();
                    let url = format!("http://{address}/api/user");
                    let mut answered = 0;
                    // `call` fails for each status but 200.
                    while !swept.load(Ordering::Relaxed) {
                        let mut answer =
                            agent.get(&url).header("Authorization", &header).call().unwrap();
                        answer.body_mut().read_to_string().unwrap();
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        // Other writes run between two chunks of the sweep.
        let writer = scope.spawn(|| {
            let mut issued = 0;
            while !swept.load(Ordering::Relaxed) {
                server.issue(&["*"]);
                issued += 1;
            }
            issued
        });
        let purged = sweep(&server);
        swept.store(true, Ordering::Relaxed);
        assert_eq!(purged, Purged { revoked: 100_000, expired: 100_000 });
        for client in clients {
            assert!(client.join().unwrap() > 0);
        }
        let issued = writer.join().unwrap();
        assert!(issued > 20, "{issued} tokens issued during the sweep");
        issued
    });
    assert_eq!(ids(&server).len(), 200_004 + issued);
}

#[test]
fn a_shutdown_ends_the_running_sweep_refuses_queued_ones_and_stores_the_last_use() {
    let mut server = start_with(|config| {
        config.token_ttl = Lifetime::NEVER;
        config.max_tokens_per_user = None;
    });
    db_insert_400_000_tokens(&server);
    let token = server.issue(&["*"]);
    server.set_clock(2 * 24 * 60 * MINUTE);
    assert_eq!(server.get("/api/user", &token).status, 200);
    let bearerd = server.bearerd.clone();
    app::block_on(async {
        let sweeps = [bearerd.sweep(), bearerd.sweep(), bearerd.sweep()];
        let mut sweeps = sweeps.map(Box::pin);
        for sweep in &mut sweeps {
            assert!(poll!(sweep).is_pending(), "the sweep waits for its turn");
        }
        server.stop();
        let used = server.db_text("CAST(last_used_at AS TEXT)", "tokens WHERE id = 400001");
        assert_eq!(used, (START + 2 * 24 * 60 * MINUTE).to_string());
        for sweep in sweeps {
            let result = sweep.await;
            assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
        }
    });
}
