//! That no revoked token passes: each test holds a read across what ends the token.

use std::cell::Cell;
use std::net::IpAddr;

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::actors::Caller;
use crate::app::{self, Services, block_on};
use crate::config::Config;
use crate::domain::{Email, Password, PresentedToken};

struct Bench {
    services: Services,
    issued: Issued,
    presented: PresentedToken,
    config: Config,
    _folder: TempDir,
}

/// A service with one user and one token, which nobody has checked yet.
async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        database: folder.path().join("test.sqlite"),
        bcrypt_cost: 4,
        email_change: EmailChange::Owner,
        ..Config::default()
    };
    let services = Services::open(&config, app::system_clock()).unwrap();
    let email = Email::parse("ada@example.org").unwrap();
    let name = Name::parse("Ada").unwrap();
    let account = NewUser {
        name: name.clone(),
        email: email.clone(),
        password: Password::chosen("long enough".to_owned()).unwrap(),
        abilities: Abilities::all(),
        admin: false,
    };
    services.auth.create_user(Actor::Operator, account).await.unwrap();
    let request = TokenRequest { name, abilities: None, expires_in: None };
    let issued = services.auth.issue(email, request).await.unwrap();
    let presented = PresentedToken { hash: issued.plain.hash(), id: None };
    Bench { services, issued, presented, config, _folder: folder }
}

/// Checks the token as the guard does, but holds the first read: it has its row, and hands it over
/// only when `end` is done.
async fn check_across(bench: &Bench, end: impl Future<Output = ()>) -> (bool, u32) {
    let parts = &bench.services.auth.0;
    let (has_read, read) = oneshot::channel();
    let (release, released) = oneshot::channel::<()>();
    let first = Cell::new(Some((has_read, released)));
    let reads = Cell::new(0);
    let hold = || async {
        reads.set(reads.get() + 1);
        let row = parts.store.token_by_hash(bench.presented.hash).await?;
        if let Some((has_read, released)) = first.take() {
            has_read.send(()).unwrap();
            let _ = released.await;
        }
        let now = (parts.clock)();
        Ok(row.and_then(|(token, user)| {
            Session::open(token, parts.verdicts.owners.share(user), parts.ttl, now)
        }))
    };
    let check = parts.verdicts.read(&bench.presented.hash, hold);
    let (session, ()) = futures_util::join!(check, async {
        read.await.unwrap();
        end.await;
        drop(release);
    });
    (session.unwrap().is_some(), reads.get())
}

#[test]
fn a_bearer_whose_token_has_died_since_has_nothing_written() {
    block_on(async {
        let Bench { services, issued, presented, _folder, .. } = bench().await;
        let auth = &services.auth;
        let session = auth.look_up(&presented).await.unwrap();
        let bearer = AuthorizedToken::admit(session, crate::domain::Needs::LiveToken).unwrap();
        let (by, id, owner) = (Actor::Token(&bearer), issued.token.id, bearer.user.id);
        let (name, email) = (bearer.user.name.clone(), Email::parse("b@example.org").unwrap());
        let from = [127, 0, 0, 1].into();
        let password = || Password::chosen("long enough".to_owned()).unwrap();
        let request = TokenRequest { name: name.clone(), abilities: None, expires_in: None };
        let other = auth.issue(bearer.user.email.clone(), request.clone()).await.unwrap().token.id;
        auth.revoke(Actor::Operator, id, None).await.unwrap();
        let user = NewUser {
            name: name.clone(),
            email: email.clone(),
            password: password(),
            abilities: Abilities::all(),
            admin: false,
        };
        let own = bearer.user.email.clone();
        for result in [
            auth.create_user(by, user).await.map(drop),
            auth.update_user(by, owner, UserUpdate::default()).await.map(drop),
            auth.delete_user(by, owner).await,
            auth.update_own(&bearer, name.clone(), own, None, from).await.map(drop),
            auth.update_own(&bearer, name.clone(), email, Some(password()), from).await.map(drop),
            auth.change_own_password(&bearer, password(), password(), from).await,
            auth.issue_by_token(&bearer, request).await.map(drop),
            auth.rename(&bearer, other, name).await.map(drop),
            auth.revoke(by, other, Some(owner)).await,
            auth.revoke_all(by, owner, None).await,
            auth.revoke_sent(&bearer, b"unknown").await,
        ] {
            assert!(matches!(result, Err(Error::InvalidToken)), "{result:?}");
        }
        auth.log_out(&bearer).await.unwrap();
        assert_eq!(auth.users_after(0).await.unwrap().len(), 1);
        assert!(auth.tokens_after(0, None).await.unwrap()[1].0.revoked_at.is_none());
        services.close().await;
    });
}

#[test]
fn a_login_that_a_full_queue_turns_away_counts_for_its_network_alone() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        // Dear enough that no password is done while the queue is full.
        let config = Config {
            database: folder.path().join("test.sqlite"),
            bcrypt_cost: 12,
            login_attempts: 1,
            ..Config::default()
        };
        let services = Services::open(&config, app::system_clock()).unwrap();
        let parts = &services.auth.0;
        let password = Password::chosen("long enough".to_owned()).unwrap();
        // From so many networks that none holds more than one place.
        let mut waiting = Vec::new();
        for host in 0..=u8::MAX {
            let caller = Caller::Network(IpAddr::from([10, 0, 0, host]).into());
            let mut hash = Box::pin(parts.hasher.hash(caller, password.clone()));
            if futures_util::FutureExt::now_or_never(hash.as_mut()).is_none() {
                waiting.push(hash);
            }
        }
        let log_in = async |host| {
            let email = Email::parse("ada@example.org").unwrap();
            let credentials = Credentials { email, password: password.clone() };
            let name = Name::parse("x").unwrap();
            let request = TokenRequest { name, abilities: None, expires_in: None };
            services.auth.log_in(credentials, request, [192, 0, 2, host].into()).await
        };
        for _ in 0..10 {
            assert!(matches!(log_in(0).await, Err(Error::Busy)));
        }
        assert!(matches!(log_in(0).await, Err(Error::TooManyAttempts { limit: 10, .. })));
        for host in 1..20 {
            assert!(matches!(log_in(host).await, Err(Error::Busy)), "the email's are not used up");
        }
        drop(waiting);
        services.close().await;
    });
}

fn passes_from_memory(bench: &Bench) -> bool {
    matches!(bench.services.auth.check(bench.issued.plain.expose().as_bytes()), Check::Live(_))
}

#[test]
fn a_read_held_across_a_revocation_does_not_pass() {
    block_on(async {
        let bench = bench().await;
        let revoke = async {
            bench.services.auth.revoke(Actor::Operator, bench.issued.token.id, None).await.unwrap();
        };
        assert_eq!(check_across(&bench, revoke).await, (false, 2));
        assert!(!passes_from_memory(&bench));
        bench.services.close().await;
    });
}

#[test]
fn a_read_held_across_the_revocation_of_its_tokens_parent_does_not_pass() {
    block_on(async {
        let mut bench = bench().await;
        let auth = bench.services.auth.clone();
        let session = auth.look_up(&bench.presented).await.unwrap();
        let parent = AuthorizedToken::admit(session, crate::domain::Needs::LiveToken).unwrap();
        let name = parent.token.name.clone();
        let request = TokenRequest { name, abilities: None, expires_in: None };
        let (child, _) = auth.issue_by_token(&parent, request).await.unwrap();
        bench.presented = PresentedToken { hash: child.plain.hash(), id: None };
        let revoke = async { auth.log_out(&parent).await.unwrap() };
        assert_eq!(check_across(&bench, revoke).await, (false, 2));
        bench.services.close().await;
    });
}

#[test]
fn a_read_held_across_anothers_write_to_the_file_does_not_pass() {
    block_on(async {
        let bench = bench().await;
        let elsewhere = async {
            let other = Services::open(&bench.config, app::system_clock()).unwrap();
            other.auth.revoke(Actor::Operator, bench.issued.token.id, None).await.unwrap();
            other.close().await;
            // The writer asks for the file's version before each batch.
            bench.services.auth.revoke(Actor::Operator, -1, None).await.unwrap_err();
        };
        assert_eq!(check_across(&bench, elsewhere).await, (false, 2));
        bench.services.close().await;
    });
}

#[test]
fn a_read_that_nothing_disturbs_passes_and_is_kept() {
    block_on(async {
        let bench = bench().await;
        assert!(!passes_from_memory(&bench));
        assert_eq!(check_across(&bench, async {}).await, (true, 1));
        assert!(passes_from_memory(&bench));
        bench.services.close().await;
    });
}

#[test]
fn a_revoked_token_that_was_known_is_refused_without_a_query() {
    block_on(async {
        for by_password in [false, true] {
            let bench = bench().await;
            let auth = &bench.services.auth;
            let owner = auth.look_up(&bench.presented).await.unwrap().user.id;
            if by_password {
                let password = Password::chosen("another one".to_owned()).unwrap();
                let update = UserUpdate { password: Some(password), ..UserUpdate::default() };
                auth.update_user(Actor::Operator, owner, update).await.unwrap();
            } else {
                auth.revoke(Actor::Operator, bench.issued.token.id, None).await.unwrap();
                let update = UserUpdate { admin: Some(true), ..UserUpdate::default() };
                auth.update_user(Actor::Operator, owner, update).await.unwrap();
            }
            let check = auth.check(bench.issued.plain.expose().as_bytes());
            assert!(matches!(check, Check::Refused), "by a password: {by_password}");
            bench.services.close().await;
        }
    });
}

#[test]
fn a_revocation_whose_caller_hangs_up_still_counts() {
    block_on(async {
        let bench = bench().await;
        assert_eq!(check_across(&bench, async {}).await, (true, 1));
        let mut revoke =
            Box::pin(bench.services.auth.revoke(Actor::Operator, bench.issued.token.id, None));
        assert!(futures_util::FutureExt::now_or_never(revoke.as_mut()).is_none());
        drop(revoke);
        // The next write is answered after it.
        bench.services.auth.revoke(Actor::Operator, -1, None).await.unwrap_err();
        assert!(!passes_from_memory(&bench));
        bench.services.close().await;
    });
}
