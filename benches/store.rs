//! What the store takes, as the application service meets it: a token looked up by its digest, and
//! tokens issued so many at once, which commit together. `cargo bench --bench store`.

mod support;

use std::hint::black_box;

use actix_web::rt::{System, SystemRunner};
use bearerd::Bearerd;
use bearerd::auth::Auth;
use bearerd::domain::{PresentedToken, TokenPrefix};
use criterion::{BenchmarkId, Criterion, Throughput};
use futures_util::future::try_join_all;
use support::{Failure, create_user, settings};

/// Tokens in the file that are looked up.
const TOKENS: usize = 10_000;
/// Tokens issued at once to fill it: no more than may wait for the writer.
const AT_ONCE: usize = 1000;

fn main() -> Result<(), Failure> {
    let mut c = Criterion::default().configure_from_args();
    // Where the file is decides what a commit costs: the working directory's disk, not /tmp's.
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
            // Looked up, whether it is cached or not.
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

/// Issues so many tokens at once.
async fn issued(auth: &Auth, count: usize) -> Result<Vec<PresentedToken>, Failure> {
    let prefix = TokenPrefix::default();
    try_join_all((0..count).map(|_| async {
        let plain = support::issue(auth).await?;
        Ok(PresentedToken::parse(plain.expose().as_bytes(), &prefix)?)
    }))
    .await
}
