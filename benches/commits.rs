//! Group commit: tokens issued per second by 64 concurrent clients with durable writes (`synchronous=FULL`),
//! compared with one commit for each token. Both are measured in each round, which prints the rate with single
//! commits, then the rate with group commit. The argument is the number of rounds.
#![allow(clippy::print_stdout, reason = "this is the result")]

mod support;

use std::time::{Duration, Instant};

use bearerd::{Bearerd, app};
use futures_util::future::try_join_all;
use support::{Failure, create_user, issue, rounds, settings};
use tokio::sync::Semaphore;

const CLIENTS: usize = 64;
const ROUND: Duration = Duration::from_secs(2);

fn main() -> Result<(), Failure> {
    app::block_on(async {
        for _ in 0..rounds() {
            // One at a time: no second write is waiting when the first commits.
            let single = issue_for_a_round(1).await?;
            let grouped = issue_for_a_round(CLIENTS).await?;
            println!("{single:.0} {grouped:.0}");
        }
        Ok(())
    })
}

/// Lets 64 clients issue tokens, `at_once` of them at a time. Returns the tokens per second.
async fn issue_for_a_round(at_once: usize) -> Result<f64, Failure> {
    // On the working directory's disk, because /tmp may be in memory, where commits are cheap.
    let folder = tempfile::tempdir_in(".")?;
    let bearerd = Bearerd::open(&settings(folder.path()))?;
    create_user(bearerd.auth()).await?;
    let places = Semaphore::new(at_once);
    let start = Instant::now();
    let clients = (0..CLIENTS).map(|_| async {
        let mut issued = 0_u32;
        while start.elapsed() < ROUND {
            let _place = places.acquire().await?;
            issue(bearerd.auth()).await?;
            issued += 1;
        }
        Ok::<_, Failure>(issued)
    });
    let issued: u32 = try_join_all(clients).await?.iter().sum();
    let rate = f64::from(issued) / start.elapsed().as_secs_f64();
    bearerd.close().await;
    Ok(rate)
}
