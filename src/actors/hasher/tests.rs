use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::mpsc;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::*;
use crate::app::block_on;

const THREADS: usize = 2;

type Pending<T> = Pin<Box<dyn Future<Output = Result<T, HasherError>>>>;

fn password(text: &str) -> Password {
    Password::claimed(text.to_owned()).unwrap()
}

/// One of many networks.
fn network(number: u8) -> Caller {
    Caller::Network(IpAddr::from(Ipv4Addr::new(192, 0, 2, number)).into())
}

fn hasher() -> Hasher {
    Hasher::with_threads(THREADS, 4, Metrics::new().unwrap())
}

async fn verify(hasher: &Hasher, text: &str, hash: Option<PasswordHash>) -> bool {
    let guess = Guess { password: password(text), hash, highest_cost: None, spent: 0 };
    hasher.verify(network(0), guess).await.unwrap()
}

/// Queues a job now; the answer can be awaited later.
fn ask<T: Send + 'static>(
    hasher: &Hasher,
    caller: Caller,
    work: impl FnOnce() -> T + Send + 'static,
) -> Pending<T> {
    let hasher = hasher.clone();
    let mut pending: Pending<T> =
        Box::pin(async move { hasher.run_on_thread(caller, |_| Ok(work())).await }.fuse());
    match pending.as_mut().now_or_never() {
        None => pending,
        Some(result) => Box::pin(async { result }),
    }
}

/// Keeps every thread busy on the caller's behalf until the first value is dropped. The second value holds
/// the answers.
async fn block_threads(
    hasher: &Hasher,
    caller: Caller,
) -> (Vec<mpsc::Sender<()>>, Vec<Pending<()>>) {
    let (mut releases, mut pending) = (Vec::new(), Vec::new());
    for _ in 0..THREADS {
        let (release, started, answer) = hold_thread(hasher, caller);
        started.await.unwrap();
        releases.push(release);
        pending.push(answer);
    }
    (releases, pending)
}

/// Queues a job that runs until the first value is dropped. The second is ready when the job begins.
fn hold_thread(
    hasher: &Hasher,
    caller: Caller,
) -> (mpsc::Sender<()>, oneshot::Receiver<()>, Pending<()>) {
    let (has_started, started) = oneshot::channel();
    let (release, released) = mpsc::channel();
    let answer = ask(hasher, caller, move || {
        has_started.send(()).unwrap();
        let _ = released.recv();
    });
    (release, started, answer)
}

fn is_busy<T>(answer: &Result<T, HasherError>) -> bool {
    matches!(answer, Err(HasherError::Busy))
}

#[test]
fn hashes_of_every_maker_are_read_and_rubbish_matches_nothing() {
    block_on(async {
        let hasher = hasher();
        let own = hasher.hash(network(0), password("secret")).await.unwrap();
        let body = own.expose().strip_prefix("$2b$").unwrap();
        for (hash, matches) in [
            (format!("$2b${body}"), true),
            (format!("$2a${body}"), true),
            (format!("$2y${body}"), true),
            (format!("$2z${body}"), false),
            (format!("$2b$31${}", &body[3..]), false),
            (own.expose()[..59].to_owned(), false),
            ("secret".to_owned(), false),
            (String::new(), false),
        ] {
            let stored = PasswordHash::new(hash.clone());
            assert_eq!(verify(&hasher, "secret", Some(stored)).await, matches, "{hash}");
        }
        assert!(!verify(&hasher, "Secret", Some(own)).await);
        assert!(!verify(&hasher, "secret", None).await);
    });
}

#[test]
fn a_full_queue_refuses_the_next() {
    block_on(async {
        let hasher = hasher();
        let (releases, blocked) = block_threads(&hasher, Caller::Administration).await;
        let waiting = (blocked.len()..PLACES).map(|_| ask(&hasher, Caller::Administration, || ()));
        let waiting: Vec<_> = waiting.collect();
        assert!(is_busy(&ask(&hasher, Caller::Administration, || ()).await));
        drop(releases);
        for answer in blocked.into_iter().chain(waiting) {
            answer.await.unwrap();
        }
        hasher.hash(Caller::Administration, password("secret")).await.unwrap();
        assert_eq!(hasher.jobs.lock().queue.places_taken(), 0);
    });
}

#[test]
fn one_network_has_eight_places() {
    block_on(async {
        let hasher = hasher();
        let (releases, _blocked) = block_threads(&hasher, Caller::Administration).await;
        let waiting: Vec<_> = (0..NETWORK_SHARE).map(|_| ask(&hasher, network(1), || ())).collect();
        assert!(is_busy(&ask(&hasher, network(1), || ()).await));
        let other = ask(&hasher, network(2), || ());
        drop(releases);
        for answer in waiting.into_iter().chain([other]) {
            answer.await.unwrap();
        }
    });
}

#[test]
fn networks_that_fill_the_queue_keep_no_other_waiting_for_more_than_a_turn_each() {
    block_on(async {
        // With one thread, jobs are recorded in the order in which they are taken.
        let hasher = Hasher::with_threads(1, 4, Metrics::new().unwrap());
        let (release, started, _blocked) = hold_thread(&hasher, Caller::Administration);
        started.await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let log_in = |number| {
            let order = order.clone();
            ask(&hasher, network(number), move || order.lock().unwrap().push(number))
        };
        let flood: Vec<_> = (0..96).map(|i| log_in(i % 12)).collect();
        assert_eq!(hasher.jobs.lock().queue.places_taken(), PLACES);
        let others: Vec<_> = (100..105).map(log_in).collect();
        drop(release);
        for answer in others {
            answer.await.unwrap();
        }
        let refused = join_all(flood).await.iter().filter(|answer| is_busy(answer)).count();
        assert_eq!(refused, 96 + 5 + 1 - PLACES);
        let order = order.lock().unwrap();
        let last = order.iter().rposition(|&number| number >= 100).unwrap();
        assert!(last < 12 + 5, "{order:?}");
    });
}

#[test]
fn a_caller_who_hangs_up_has_no_password_hashed() {
    block_on(async {
        let hasher = hasher();
        let (releases, _blocked) = block_threads(&hasher, Caller::Administration).await;
        for _ in 0..NETWORK_SHARE {
            let hash = hasher.hash(network(1), password("secret")).now_or_never();
            assert!(hash.is_none());
        }
        drop(releases);
        hasher.hash(network(2), password("secret")).await.unwrap();
        hasher.hash(network(1), password("secret")).await.unwrap();
        assert_eq!(hasher.metrics.bcrypt_rounds.get(), 2 << 4);
    });
}

#[test]
fn callers_who_hang_up_leave_no_more_messages_than_there_are_places() {
    block_on(async {
        let hasher = Hasher::with_threads(1, 4, Metrics::new().unwrap());
        let (mut release, started, first) = hold_thread(&hasher, network(2));
        started.await.unwrap();
        let mut answers = vec![first];
        for _ in 0..PLACES {
            for _ in 0..NETWORK_SHARE {
                drop(ask(&hasher, network(1), || ()));
            }
            let (next, started, answer) = hold_thread(&hasher, network(2));
            release = next;
            started.await.unwrap();
            answers.push(answer);
        }
        assert!(hasher.jobs.lock().calls <= PLACES);
        drop(release);
        for answer in answers {
            answer.await.unwrap();
        }
        hasher.hash(network(1), password("secret")).await.unwrap();
    });
}

#[test]
fn a_caller_who_hangs_up_frees_no_place_while_the_password_is_hashed() {
    block_on(async {
        let hasher = hasher();
        let (_releases, blocked) = block_threads(&hasher, network(1)).await;
        drop(blocked);
        let rest = NETWORK_SHARE - THREADS;
        let _waiting: Vec<_> = (0..rest).map(|_| ask(&hasher, network(1), || ())).collect();
        assert!(is_busy(&ask(&hasher, network(1), || ()).await));
    });
}

#[test]
fn a_panic_costs_its_own_job_alone() {
    block_on(async {
        let hasher = hasher();
        for _ in 0..=THREADS {
            let answer = ask(&hasher, network(1), || panic!("on purpose")).await;
            assert!(matches!(answer, Err(HasherError::Failed(_))), "{answer:?}");
        }
        let waiting = (0..NETWORK_SHARE).map(|_| hasher.hash(network(1), password("secret")));
        assert!(join_all(waiting).await.iter().all(Result::is_ok));
    });
}

#[test]
fn what_is_asked_after_the_end_fails() {
    let hasher = block_on(async { hasher() });
    let answer = block_on(hasher.hash(network(1), password("secret")));
    assert!(matches!(answer, Err(HasherError::Failed(_))), "{answer:?}");
}
