//! That no session outlives a change: each test holds a read across one.

use tokio::sync::oneshot;

use super::*;

/// Looks the token up as the guard does, but holds the first read: it has its row, and returns it only when
/// `change` is done. Gives whether the token passed, and how often it was read.
pub(super) async fn look_up_across(bench: &Bench, change: impl Future<Output = ()>) -> (bool, u32) {
    let auth = &bench.services.auth;
    let (has_read, read) = oneshot::channel();
    let (release, released) = oneshot::channel::<()>();
    let first = Cell::new(Some((has_read, released)));
    let reads = Cell::new(0);
    let held_read = async |hash| {
        reads.set(reads.get() + 1);
        let row = auth.0.store.token_by_hash(hash).await;
        if let Some((has_read, released)) = first.take() {
            has_read.send(()).unwrap();
            let _ = released.await;
        }
        row
    };
    let look_up = auth.look_up_by(&bench.presented, held_read);
    let (session, ()) = futures_util::join!(look_up, async {
        read.await.unwrap();
        change.await;
        drop(release);
    });
    match session {
        Ok(_) => (true, reads.get()),
        Err(Error::InvalidToken) => (false, reads.get()),
        Err(error) => panic!("{error:?}"),
    }
}

pub(super) fn passes_from_memory(bench: &Bench) -> bool {
    matches!(bench.services.auth.check(bench.issued.plain.expose().as_bytes()), Check::Live(_))
}

/// Changes what a token may do while it is looked up: none of the changes may be missed.
async fn assert_no_read_outlives(
    what: &str,
    passes: bool,
    change: impl AsyncFnOnce(&Auth, &Bench) -> (),
) {
    let bench = bench().await;
    let auth = bench.services.auth.clone();
    let across = look_up_across(&bench, change(&auth, &bench));
    assert_eq!(across.await, (passes, 2), "{what}");
    assert_eq!(passes_from_memory(&bench), passes, "{what}");
    bench.services.close().await;
}

#[test]
fn no_read_outlives_a_change_of_any_kind() {
    block_on(async {
        let owner = async |auth: &Auth| {
            auth.user_by_email(&Email::parse("ada@example.org").unwrap()).await.unwrap().id
        };
        let update = async |auth: &Auth, update: UserUpdate| {
            let id = owner(auth).await;
            auth.update_user(Actor::Operator, id, update).await.unwrap();
        };
        let revoke = async |auth: &Auth, bench: &Bench| {
            auth.revoke(Actor::Operator, bench.issued.token.id, None).await.unwrap();
        };
        assert_no_read_outlives("a revocation", false, revoke).await;
        assert_no_read_outlives("a revocation of all", false, async |auth, _| {
            auth.revoke_all(Actor::Operator, owner(auth).await, None).await.unwrap();
        })
        .await;
        assert_no_read_outlives("a revocation of all others", true, async |auth, bench| {
            let kept = Some(bench.issued.token.id);
            auth.revoke_all(Actor::Operator, owner(auth).await, kept).await.unwrap();
        })
        .await;
        assert_no_read_outlives("another password", false, async |auth, _| {
            let password = Some(Password::chosen("another one".to_owned()).unwrap());
            update(auth, UserUpdate { password, ..UserUpdate::default() }).await;
        })
        .await;
        assert_no_read_outlives("a disabled owner", false, async |auth, _| {
            update(auth, UserUpdate { disabled: Some(true), ..UserUpdate::default() }).await;
        })
        .await;
        assert_no_read_outlives("other abilities", true, async |auth, _| {
            let abilities = Some(Abilities::parse(["posts:read"]).unwrap());
            update(auth, UserUpdate { abilities, ..UserUpdate::default() }).await;
        })
        .await;
        assert_no_read_outlives("a deleted owner", false, async |auth, _| {
            auth.delete_user(Actor::Operator, owner(auth).await).await.unwrap();
        })
        .await;
        assert_no_read_outlives("another process's revocation", false, async |auth, bench| {
            let other = Services::open(&bench.config, app::system_clock()).unwrap();
            revoke(&other.auth, bench).await;
            other.close().await;
            // The writer reads the change log with each batch.
            auth.revoke(Actor::Operator, -1, None).await.unwrap_err();
        })
        .await;
        assert_no_read_outlives("another program's revocation", false, async |auth, bench| {
            execute(bench, "UPDATE tokens SET revoked_at = 1");
            auth.revoke(Actor::Operator, -1, None).await.unwrap_err();
        })
        .await;
        assert_no_read_outlives("another program's deletion", false, async |auth, bench| {
            execute(bench, "DELETE FROM tokens");
            auth.revoke(Actor::Operator, -1, None).await.unwrap_err();
        })
        .await;
        assert_no_read_outlives("another program's replacement", false, async |auth, bench| {
            let disabled = "INSERT OR REPLACE INTO users
                    (id, name, email, password_hash, abilities, disabled_at, created_at, updated_at)
                SELECT id, name, email, password_hash, abilities, 1, created_at, 2 FROM users";
            execute(bench, disabled);
            auth.revoke(Actor::Operator, -1, None).await.unwrap_err();
        })
        .await;
        let lost = "more changes than the log holds";
        assert_no_read_outlives(lost, false, async |auth, bench| {
            execute(bench, "UPDATE tokens SET revoked_at = 1");
            let others =
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10200)
                INSERT INTO changes (kind, id) SELECT 'user', 1000 FROM n";
            execute(bench, others);
            auth.revoke(Actor::Operator, -1, None).await.unwrap_err();
        })
        .await;
    });
}

/// Runs a statement as another program would.
pub(super) fn execute(bench: &Bench, sql: &str) {
    use diesel::{Connection, RunQueryDsl, SqliteConnection};
    let path = bench.config.database.to_str().unwrap();
    let mut connection = SqliteConnection::establish(path).unwrap();
    diesel::sql_query(sql).execute(&mut connection).unwrap();
}

#[test]
fn a_read_held_across_the_revocation_of_its_tokens_parent_does_not_pass() {
    block_on(async {
        let mut bench = bench().await;
        let auth = bench.services.auth.clone();
        let session = auth.look_up(&bench.presented).await.unwrap();
        let parent =
            AuthorizedToken::admit(session, crate::domain::Requirement::LiveToken).unwrap();
        let name = parent.token.name.clone();
        let request = TokenRequest { name, abilities: None, expires_in: None };
        let (child, _) = auth.issue_by_token(&parent, request).await.unwrap();
        bench.presented = PresentedToken { hash: child.plain.hash(), id: None };
        let revoke = async { auth.log_out(&parent).await.unwrap() };
        assert_eq!(look_up_across(&bench, revoke).await, (false, 2));
        bench.services.close().await;
    });
}

#[test]
fn changes_of_others_and_commands_that_change_nothing_leave_a_cached_token_alone() {
    block_on(async {
        let bench = bench().await;
        let auth = &bench.services.auth;
        assert_eq!(look_up_across(&bench, async {}).await, (true, 1));
        let other = Services::open(&bench.config, app::system_clock()).unwrap();
        let name = Name::parse("Grace").unwrap();
        let email = Email::parse("grace@example.org").unwrap();
        let account = NewUser {
            name: name.clone(),
            email: email.clone(),
            password: Password::chosen("long enough".to_owned()).unwrap(),
            abilities: Abilities::all(),
            admin: true,
        };
        let grace = other.auth.create_user(Actor::Operator, account).await.unwrap();
        let request = TokenRequest { name, abilities: None, expires_in: None };
        let issued = other.auth.issue(email, request).await.unwrap();
        other.auth.users_after(0).await.unwrap();
        other.auth.revoke(Actor::Operator, issued.token.id, None).await.unwrap();
        other.auth.delete_user(Actor::Operator, grace.id).await.unwrap_err();
        let update = UserUpdate { admin: Some(true), ..UserUpdate::default() };
        other.auth.update_user(Actor::Operator, grace.id, update).await.unwrap();
        other.close().await;
        auth.revoke(Actor::Operator, -1, None).await.unwrap_err();
        assert!(passes_from_memory(&bench));
        bench.services.close().await;
    });
}

#[test]
fn look_ups_of_one_token_at_the_same_time_are_one_read() {
    block_on(async {
        let bench = bench().await;
        let auth = &bench.services.auth;
        let reads = Cell::new(0);
        let read = async |hash| {
            reads.set(reads.get() + 1);
            auth.0.store.token_by_hash(hash).await
        };
        let look_ups = (0..100).map(|_| auth.look_up_by(&bench.presented, read));
        for session in futures_util::future::join_all(look_ups).await {
            assert_eq!(session.unwrap().token.id, bench.issued.token.id);
        }
        assert_eq!(reads.get(), 1);
        bench.services.close().await;
    });
}

#[test]
fn a_look_up_that_waits_for_another_one_does_not_take_over_what_that_read_before_a_change() {
    block_on(async {
        let bench = bench().await;
        let auth = &bench.services.auth;
        let across = look_up_across(&bench, async {
            auth.revoke(Actor::Operator, bench.issued.token.id, None).await.unwrap();
            // It begins after the answer to the revocation, and finds the first look-up under way.
            let mut second = Box::pin(auth.look_up(&bench.presented));
            assert!(second.as_mut().now_or_never().is_none());
        });
        assert_eq!(across.await, (false, 2));
        let (has_read, read) = oneshot::channel();
        let first = Cell::new(Some(has_read));
        let (release, released) = oneshot::channel::<()>();
        let released = Cell::new(Some(released));
        let other = bench_token(auth).await;
        let presented = PresentedToken { hash: other.plain.hash(), id: None };
        let held_read = async |hash| {
            let row = auth.0.store.token_by_hash(hash).await;
            if let (Some(has_read), Some(released)) = (first.take(), released.take()) {
                has_read.send(()).unwrap();
                let _ = released.await;
            }
            row
        };
        let held = auth.look_up_by(&presented, held_read);
        let (held, second) = futures_util::join!(held, async {
            read.await.unwrap();
            auth.revoke(Actor::Operator, other.token.id, None).await.unwrap();
            let mut second = Box::pin(auth.look_up(&presented));
            assert!(second.as_mut().now_or_never().is_none());
            drop(release);
            second.await
        });
        assert!(matches!(held, Err(Error::InvalidToken)), "{held:?}");
        assert!(matches!(second, Err(Error::InvalidToken)), "{second:?}");
        bench.services.close().await;
    });
}

/// Another token of the user's.
pub(super) async fn bench_token(auth: &Auth) -> Issued {
    let name = Name::parse("x").unwrap();
    let request = TokenRequest { name, abilities: None, expires_in: None };
    auth.issue(Email::parse("ada@example.org").unwrap(), request).await.unwrap()
}

#[test]
fn a_read_that_nothing_disturbs_passes_and_is_kept() {
    block_on(async {
        let bench = bench().await;
        assert!(!passes_from_memory(&bench));
        assert_eq!(look_up_across(&bench, async {}).await, (true, 1));
        assert!(passes_from_memory(&bench));
        bench.services.close().await;
    });
}

#[test]
fn a_revoked_token_costs_one_query_however_often_it_is_sent() {
    block_on(async {
        let bench = bench().await;
        let auth = &bench.services.auth;
        let owner = auth.look_up(&bench.presented).await.unwrap().user.id;
        auth.revoke_all(Actor::Operator, owner, None).await.unwrap();
        auth.look_up(&bench.presented).await.unwrap_err();
        let other = bench_token(auth).await;
        let session = auth.authenticate(other.plain.expose().as_bytes()).await.unwrap();
        auth.log_out(&session).await.unwrap();
        let check = auth.check(other.plain.expose().as_bytes());
        assert!(matches!(check, Check::Refused), "without any query: {check:?}");
        for _ in 0..2 {
            let check = auth.check(bench.issued.plain.expose().as_bytes());
            assert!(matches!(check, Check::Refused), "{check:?}");
            let update = UserUpdate { admin: Some(true), ..UserUpdate::default() };
            auth.update_user(Actor::Operator, owner, update).await.unwrap();
        }
        bench.services.close().await;
    });
}

#[test]
fn a_revocation_whose_caller_hangs_up_still_counts() {
    block_on(async {
        let bench = bench().await;
        assert_eq!(look_up_across(&bench, async {}).await, (true, 1));
        let mut revoke =
            Box::pin(bench.services.auth.revoke(Actor::Operator, bench.issued.token.id, None));
        assert!(revoke.as_mut().now_or_never().is_none());
        drop(revoke);
        // The next write is answered after it.
        bench.services.auth.revoke(Actor::Operator, -1, None).await.unwrap_err();
        assert!(!passes_from_memory(&bench));
        bench.services.close().await;
    });
}

#[test]
fn a_token_that_is_changed_in_a_loop_passes_all_the_same() {
    block_on(async {
        let bench = bench().await;
        let auth = &bench.services.auth;
        let read = async |hash| {
            let row = auth.0.store.token_by_hash(hash).await;
            let update = UserUpdate { admin: Some(true), ..UserUpdate::default() };
            auth.update_user(Actor::Operator, 1, update).await.unwrap();
            row
        };
        auth.look_up_by(&bench.presented, read).await.unwrap();
        assert!(!passes_from_memory(&bench));
        bench.services.close().await;
    });
}
