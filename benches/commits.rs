//! Group commit: tokens issued a second by 64 clients at once, durable (`synchronous=FULL`), against
//! the same with a commit for each. The two take turns; each round prints both rates.
#![allow(clippy::print_stdout, reason = "this is the result")]

use std::path::Path;
use std::time::{Duration, Instant};

use bearerd::app::{self, Services};
use bearerd::auth::{By, NewUser, TokenRequest};
use bearerd::config::Config;
use bearerd::domain::{Abilities, Email, Name, Password};
use futures_util::future::try_join_all;
use tokio::sync::Semaphore;

const CLIENTS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    app::block_on(async {
        for _ in 0..ROUNDS {
            // One at a time: no second write is waiting when the first commits.
            let single = issue_for_a_round(1).await?;
            let grouped = issue_for_a_round(CLIENTS).await?;
            println!("{single:.0} {grouped:.0}");
        }
        Ok(())
    })
}

/// A service with one user, on a database of its own in `folder`.
async fn open(folder: &Path, email: &Email) -> Result<Services, Failure> {
    let database = folder.join("commits.sqlite");
    let config = Config { database, bcrypt_cost: 4, ..Config::default() };
    let services = Services::open(&config, app::system_clock())?;
    let user = NewUser {
        name: Name::parse("Ada")?,
        email: email.clone(),
        password: Password::chosen("long enough".to_owned())?,
        abilities: Abilities::all(),
        admin: false,
    };
    services.auth.create_user(By::Operator, user).await?;
    Ok(services)
}

/// Has 64 clients issue tokens, `at_once` of them at a time; gives the tokens a second.
async fn issue_for_a_round(at_once: usize) -> Result<f64, Failure> {
    // Where the file is decides what a commit costs: the working directory's disk, not /tmp's.
    let folder = tempfile::tempdir_in(".")?;
    let email = Email::parse("ada@example.org")?;
    let services = open(folder.path(), &email).await?;
    let places = Semaphore::new(at_once);
    let start = Instant::now();
    let clients = (0..CLIENTS).map(|_| async {
        let mut issued = 0_u32;
        while start.elapsed() < ROUND {
            let _place = places.acquire().await?;
            let name = Name::parse("bench")?;
            let request = TokenRequest { name, abilities: None, expires_in: None };
            services.auth.issue(email.clone(), request).await?;
            issued += 1;
        }
        Ok::<_, Failure>(issued)
    });
    let issued: u32 = try_join_all(clients).await?.iter().sum();
    let rate = f64::from(issued) / start.elapsed().as_secs_f64();
    services.close().await;
    Ok(rate)
}
