//! Logins per second on all cores at the default cost, each from another network, compared with plain bcrypt
//! verifications on all cores. Both are measured in each round, which prints both rates, logins first. The
//! argument is the number of rounds.
#![allow(clippy::print_stdout, reason = "this is the result")]

mod support;

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::thread::{available_parallelism, scope};
use std::time::Instant;

use bearerd::auth::{Auth, Credentials};
use bearerd::domain::{Email, Password};
use bearerd::{Bearerd, Config, app};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use support::{EMAIL, Failure, PASSWORD, create_user, rounds, settings, token_request};

/// Logins for each core in a round.
const SHARE: usize = 16;
/// Concurrent logins: the length of bearerd's queue for passwords.
const CLIENTS: usize = 64;

fn main() -> Result<(), Failure> {
    let bcrypt_cost = Config::default().bcrypt_cost;
    let hash = bcrypt::hash(PASSWORD, bcrypt_cost)?;
    let cores = available_parallelism()?.get();
    app::block_on(async {
        let folder = tempfile::tempdir_in(".")?;
        let often = 1_000_000;
        let config =
            Config { bcrypt_cost, login_attempts_per_minute: often, ..settings(folder.path()) };
        let bearerd = Bearerd::open(&config)?;
        create_user(bearerd.auth()).await?;
        for _ in 0..rounds() {
            let logins = log_in_for_a_round(bearerd.auth(), cores).await?;
            println!("{logins:.3} {:.3}", check_for_a_round(&hash, cores));
        }
        bearerd.close().await;
        Ok(())
    })
}

/// Runs one round of logins. Returns the logins per second.
async fn log_in_for_a_round(auth: &Auth, cores: usize) -> Result<f64, Failure> {
    let start = Instant::now();
    let logins = (0..cores * SHARE).map(|number| async move {
        let email = Email::parse(EMAIL)?;
        let password = Password::claimed(PASSWORD.to_owned())?;
        let credentials = Credentials { email, password };
        let from = Ipv4Addr::from_bits(u32::try_from(number)?);
        auth.log_in(credentials, token_request()?, from.into()).await?;
        Ok::<_, Failure>(())
    });
    stream::iter(logins).buffer_unordered(CLIENTS).try_collect::<()>().await?;
    Ok(rate(cores, start))
}

/// Runs the same number of bcrypt verifications. Returns the verifications per second.
fn check_for_a_round(hash: &str, cores: usize) -> f64 {
    let start = Instant::now();
    let share = || (0..SHARE).all(|_| bcrypt::verify(black_box(PASSWORD), hash).unwrap_or(false));
    let passed = scope(|threads| {
        let shares: Vec<_> = (0..cores).map(|_| threads.spawn(share)).collect();
        shares.into_iter().all(|share| share.join().unwrap_or(false))
    });
    assert!(passed, "the password matches the hash");
    rate(cores, start)
}

fn rate(cores: usize, start: Instant) -> f64 {
    (cores * SHARE) as f64 / start.elapsed().as_secs_f64()
}
