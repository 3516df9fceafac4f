//! Tests that need a moment which a client can't hold: between a request's steps.

mod freshness;
mod invalidation;

use std::cell::Cell;
use std::net::IpAddr;

use futures_util::FutureExt;
use tempfile::TempDir;

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

#[test]
fn a_bearer_whose_token_has_died_since_has_nothing_written() {
    block_on(async {
        let Bench { services, issued, presented, _folder, .. } = bench().await;
        let auth = &services.auth;
        let session = auth.look_up(&presented).await.unwrap();
        let bearer =
            AuthorizedToken::admit(session, crate::domain::Requirement::LiveToken).unwrap();
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
            auth.revoke(by, other, Some(owner)).await.map(drop),
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
            login_attempts_per_minute: 1,
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
            if hash.as_mut().now_or_never().is_none() {
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

#[test]
fn an_own_change_that_loses_a_race_twice_is_a_conflict_and_changes_nothing() {
    block_on(async {
        let Bench { services, presented, _folder, .. } = bench().await;
        let auth = &services.auth;
        let session = auth.look_up(&presented).await.unwrap();
        let bearer =
            AuthorizedToken::admit(session, crate::domain::Requirement::LiveToken).unwrap();
        let (ada, other) = ("ada@example.org", "other@example.org");
        let set_email = async |email: &str| {
            let update =
                UserUpdate { email: Some(Email::parse(email).unwrap()), ..UserUpdate::default() };
            auth.update_user(Actor::Operator, bearer.user.id, update).await.unwrap()
        };
        let reads = Cell::new(0);
        let overtaken_read = async || {
            reads.set(reads.get() + 1);
            set_email(ada).await;
            let account = auth.own_account(&bearer).await;
            set_email(other).await;
            account
        };
        let (name, email) = (Name::parse("Countess").unwrap(), Email::parse(ada).unwrap());
        let from = [127, 0, 0, 1].into();
        let result = auth.update_own_by(&bearer, name, email, None, from, overtaken_read).await;
        assert!(matches!(result, Err(Error::Conflict)), "{result:?}");
        assert_eq!(reads.get(), 2);
        assert_eq!(auth.user(bearer.user.id).await.unwrap().name.as_str(), "Ada");
        services.close().await;
    });
}
