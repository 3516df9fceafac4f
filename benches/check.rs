//! The time of each part of checking a cached token: `cargo bench --bench check`.

mod support;

use std::hint::black_box;

use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::rt::{System, SystemRunner};
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpResponse, web};
use bearerd::auth::Check;
use bearerd::domain::{Abilities, PlainToken, PresentedToken, TokenHash, TokenPrefix};
use bearerd::{Bearerd, Requirement};
use criterion::{BatchSize, Criterion};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use support::{Failure, create_user, issue, settings};

fn main() -> Result<(), Failure> {
    let mut c = Criterion::default().configure_from_args();
    token(&mut c);
    abilities(&mut c)?;
    cached(&mut c)?;
    c.final_summary();
    Ok(())
}

fn token(c: &mut Criterion) {
    let prefix = TokenPrefix::default();
    let plain = PlainToken::generate(&prefix, &mut UnwrapErr(SysRng));
    let token = plain.expose().as_bytes();
    // Wrong only in its last character, so the whole token is read, but no digest is computed.
    let mut mistyped = token.to_vec();
    if let Some(last) = mistyped.last_mut() {
        *last = if *last == b'0' { b'1' } else { b'0' };
    }
    let mut group = c.benchmark_group("token");
    group.bench_function("length, alphabet and checksum", |b| {
        b.iter(|| PresentedToken::parse(black_box(&mistyped), &prefix).is_err());
    });
    group.bench_function("digest", |b| b.iter(|| TokenHash::of(black_box(token))));
    group.bench_function("both", |b| b.iter(|| PresentedToken::parse(black_box(token), &prefix)));
    group.finish();
}

fn abilities(c: &mut Criterion) -> Result<(), Failure> {
    let ten = Abilities::parse((0..10).map(|number| format!("posts{number}:read")))?;
    let all = Abilities::all();
    let mut group = c.benchmark_group("ability");
    group.bench_function("the last of ten", |b| b.iter(|| ten.grant(black_box("posts9:read"))));
    group.bench_function("none of ten", |b| b.iter(|| ten.grant(black_box("comments:read"))));
    group.bench_function("of all", |b| b.iter(|| all.grant(black_box("posts:read"))));
    group.finish();
    Ok(())
}

fn cached(c: &mut Criterion) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let system = System::new();
    let (bearerd, token) = system.block_on(async {
        let bearerd = Bearerd::open(&settings(folder.path()))?;
        create_user(bearerd.auth()).await?;
        let token = issue(bearerd.auth()).await?;
        if let Check::Unknown(presented) = bearerd.auth().check(token.expose().as_bytes()) {
            bearerd.auth().look_up(&presented).await?;
        }
        Ok::<_, Failure>((bearerd, token))
    })?;
    c.bench_function("check of a cached token", |b| {
        b.iter(|| bearerd.auth().check(black_box(token.expose().as_bytes())));
    });
    guarded(c, &system, &bearerd, &token)?;
    system.block_on(bearerd.close());
    Ok(())
}

/// A request through actix-web's routing to a handler that does nothing, with and without a guard.
fn guarded(
    c: &mut Criterion,
    system: &SystemRunner,
    bearerd: &Bearerd,
    token: &PlainToken,
) -> Result<(), Failure> {
    let header = HeaderValue::try_from(format!("Bearer {}", token.expose()))?;
    let answer = || std::future::ready(HttpResponse::NoContent().finish());
    let guard = bearerd.guard(Requirement::Ability("posts:read"));
    let app = system.block_on(init_service(
        App::new()
            .route("/bare", web::get().to(answer))
            .service(web::resource("/guarded").wrap(guard).route(web::get().to(answer))),
    ));
    let mut group = c.benchmark_group("request");
    for path in ["/bare", "/guarded"] {
        let request = || {
            TestRequest::with_uri(path).insert_header((AUTHORIZATION, header.clone())).to_request()
        };
        group.bench_function(&path[1..], |b| {
            b.iter_batched(
                request,
                |request| system.block_on(call_service(&app, request)).status(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    Ok(())
}
