//! The time of store operations, called through the application service: looking a token up by its digest,
//! and issuing tokens concurrently, which commit together. `cargo bench --bench store`.

mod support;

use std::hint::black_box;

use actix_web::rt::{System, SystemRunner};
use bearerd::Bearerd;
use bearerd::auth::Auth;
use bearerd::domain::{PresentedToken, TokenPrefix};
use criterion::{BenchmarkId, Criterion, Throughput};
use futures_util::future::try_join_all;
use support::{Failure, create_user, settings};

/// Tokens to look up.
const TOKENS: usize = 10_000;
/// Tokens issued concurrently to fill the database: no more than may wait for the writer.
const AT_ONCE: usize = 1000;

fn main() -> Result<(), Failure> {
    let mut c = Criterion::default().configure_from_args();
    // On the working directory's disk, because /tmp may be in memory, where commits are cheap.
    let folder = tempfile::tempdir_in(".")?;
    let system = System::new();
    let bearerd = system.block_on(async {
        let bearerd = Bearerd::open(&settings(folder.path()))?;
        create_user(bearerd.auth()).await?;
        Ok::<_, Failure>(bearerd)
    })?;
    look_up(&mut c, &system, bearerd.auth())?;
    issue(&mut c, &system, bearerd.auth());
    system.block_on(bearerd.close());
    c.final_summary();
    Ok(())
}

fn look_up(c: &mut Criterion, system: &SystemRunner, auth: &Auth) -> Result<(), Failure> {
    let mut tokens = Vec::new();
    while tokens.len() < TOKENS {
        tokens.extend(system.block_on(issued(auth, AT_ONCE))?);
    }
    let mut next = tokens.iter().cycle();
    c.bench_function("a token read by its digest", |b| {
        b.iter(|| match next.next() {
            // `look_up` reads the store even if the token is cached.
            Some(presented) => system.block_on(auth.look_up(black_box(presented))).is_ok(),
            None => false,
        });
    });
    Ok(())
}

fn issue(c: &mut Criterion, system: &SystemRunner, auth: &Auth) {
    let mut group = c.benchmark_group("tokens issued at once");
    for count in [1, 4, 16, 64, 256] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| system.block_on(issued(auth, count)).is_ok());
        });
    }
    group.finish();
}

/// Issues `count` tokens concurrently.
async fn issued(auth: &Auth, count: usize) -> Result<Vec<PresentedToken>, Failure> {
    let prefix = TokenPrefix::default();
    try_join_all((0..count).map(|_| async {
        let plain = support::issue(auth).await?;
        Ok(PresentedToken::parse(plain.expose().as_bytes(), &prefix)?)
    }))
    .await
}
