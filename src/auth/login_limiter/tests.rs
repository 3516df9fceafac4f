use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::auth::sliding_count::CAPACITY;

const ADA: &str = "ada@example.org";

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix(1_767_225_600 + second)
}

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

/// One of very many networks.
fn network(number: u32) -> Network {
    IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number)).into()
}

/// The wait and the limit of a refusal.
fn refusal(counted: Result<Attempt, Error>) -> Option<(u8, u32)> {
    match counted {
        Ok(_) => None,
        Err(Error::TooManyAttempts { limit, wait, .. }) => Some((wait, limit)),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn no_sixty_seconds_see_more_than_the_limit() {
    let limiter = LoginLimiter::new(5);
    let count = |second| refusal(limiter.count(&email(ADA), network(0), at(second)));
    for second in [0, 50, 50, 50, 50] {
        assert_eq!(count(second), None);
    }
    assert_eq!(count(59), Some((1, 5)));
    assert_eq!(count(60), None);
    assert_eq!(count(60), Some((50, 5)));
    assert_eq!(count(109), Some((1, 5)));
    assert_eq!(count(110), None);
}

#[test]
fn another_email_or_network_is_not_held_up() {
    let limiter = LoginLimiter::new(1);
    let count = |text: &str, address: &str| {
        let network = address.parse::<IpAddr>().unwrap().into();
        refusal(limiter.count(&email(text), network, at(0))).is_none()
    };
    assert!(count(ADA, "192.0.2.1"));
    assert!(!count("ADA@Example.ORG", "192.0.2.1"), "case makes no other email");
    assert!(!count(ADA, "::ffff:192.0.2.1"), "nor does IPv6 another address");
    assert!(count("bob@example.org", "192.0.2.1"));
    assert!(count(ADA, "192.0.2.2"));
    assert!(count(ADA, "2001:db8:0:1::1"));
    assert!(!count(ADA, "2001:db8:0:1:ffff::2"), "a client's own /64");
    assert!(count(ADA, "2001:db8:0:2::1"));
}

#[test]
fn one_network_gets_ten_times_as_many() {
    let limiter = LoginLimiter::new(5);
    let count = |i: i32, second| {
        refusal(limiter.count(&email(&format!("u{i}@example.org")), network(0), at(second)))
    };
    for i in 0..50 {
        assert_eq!(count(i, 0), None);
    }
    assert_eq!(count(50, 1), Some((59, 50)));
    assert_eq!(limiter.lock().by_pair.len(), 50, "a refusal takes no memory");
    assert_eq!(count(50, 60), None);
}

#[test]
fn one_email_gets_ten_times_as_many_from_all_networks() {
    let limiter = LoginLimiter::new(5);
    let count = |text: &str, number, second| {
        refusal(limiter.count(&email(text), network(number), at(second)))
    };
    for number in 0..50 {
        assert_eq!(count(ADA, number, 0), None);
    }
    assert_eq!(count("ADA@example.org", 50, 1), Some((59, 50)));
    assert_eq!(count("bob@example.org", 50, 1), None);
    assert_eq!(count(ADA, 50, 60), None);
}

#[test]
fn success_clears_the_pair_and_not_the_network() {
    let limiter = LoginLimiter::new(2);
    for _ in 0..20 {
        let attempt = limiter.count(&email(ADA), network(0), at(0)).unwrap();
        limiter.succeeded(attempt);
    }
    assert_eq!(refusal(limiter.count(&email(ADA), network(0), at(0))), Some((60, 20)));
}

#[test]
fn success_from_many_networks_uses_up_nothing_of_the_email() {
    let limiter = LoginLimiter::new(1);
    for number in 0..100 {
        limiter.succeeded(limiter.count(&email(ADA), network(number), at(0)).unwrap());
    }
}

#[test]
fn a_network_of_the_latest_logins_keeps_attempts_of_its_own() {
    let limiter = LoginLimiter::new(2);
    let count = |number, second| limiter.count(&email(ADA), network(number), at(second));
    for number in 0..9 {
        limiter.succeeded(count(number, 0).unwrap());
    }
    limiter.succeeded(count(1, 0).unwrap());
    for guesser in 100..120 {
        count(guesser, 100).unwrap();
    }
    assert_eq!(refusal(count(120, 100)), Some((60, 20)), "the email's are used up");
    for number in 1..9 {
        let used = [count(number, 100), count(number, 100), count(number, 100)].map(refusal);
        assert_eq!(used, [None, None, Some((60, 2))], "network {number}");
    }
    assert_eq!(refusal(count(0, 100)), Some((60, 20)), "eight are remembered");
    assert_eq!(refusal(count(120, 160)), None, "what those tried did not count");
    assert_eq!(limiter.lock().known.len(), 1);
}

#[test]
fn success_does_not_make_room_for_the_guesses_of_others() {
    let limiter = LoginLimiter::new(1);
    let count = |number| limiter.count(&email(ADA), network(number), at(0));
    limiter.succeeded(count(0).unwrap());
    for guesser in 1..11 {
        count(guesser).unwrap();
    }
    limiter.succeeded(count(0).unwrap());
    assert_eq!(refusal(count(11)), Some((60, 10)));
}

#[test]
fn an_attempt_that_is_turned_away_counts_for_its_network_alone() {
    let limiter = LoginLimiter::new(2);
    let count = |number, second| limiter.count(&email(ADA), network(number), at(second));
    let first = count(0, 0).unwrap();
    assert_eq!(refusal(count(0, 10)), None);
    limiter.turned_away(first);
    assert_eq!(refusal(count(0, 20)), None, "that of second 10 stays");
    assert_eq!(refusal(count(0, 20)), Some((50, 2)));
    for _ in 0..20 {
        limiter.turned_away(count(1, 100).unwrap());
    }
    assert_eq!(refusal(count(1, 100)), Some((60, 20)), "the network's");
    for number in 2..22 {
        assert_eq!(refusal(count(number, 100)), None, "none of the email's");
    }
}

#[test]
fn a_clock_that_is_set_back_locks_nobody_out() {
    let limiter = LoginLimiter::new(1);
    let count = |text, at| refusal(limiter.count(&email(text), network(0), at));
    assert_eq!(count(ADA, at(0)), None);
    assert!(count(ADA, at(-5)).is_some());
    assert_eq!(count(ADA, at(-4000)), None);
    assert_eq!(count("a@b", Timestamp::from_unix(i64::MAX)), None);
    assert_eq!(count("a@b", Timestamp::from_unix(i64::MIN)), None);
}

#[test]
fn very_many_emails_from_as_many_networks_leave_the_memory_bounded() {
    let limiter = LoginLimiter::new(5);
    let count = |text: &str, number| limiter.count(&email(text), network(number), at(0));
    for _ in 0..5 {
        count(ADA, 0).unwrap();
    }
    for number in 1..46 {
        count(ADA, number).unwrap();
    }
    for i in 0..300_000 {
        count(&format!("{i}@example.org"), 100 + i).unwrap();
        if i % 5_000 == 0 {
            assert_eq!(refusal(count(ADA, 0)).map(|(_, limit)| limit), Some(50), "{i}");
            assert!(count(ADA, 99).is_err(), "forgotten after {i}");
        }
    }
    let attempts = limiter.lock();
    assert!(attempts.by_pair.len() <= CAPACITY && attempts.by_email.len() <= CAPACITY);
    assert!(attempts.by_network.len() <= CAPACITY);
    let used = attempts.by_pair.memory_used()
        + attempts.by_network.memory_used()
        + attempts.by_email.memory_used();
    assert!(used < 64 << 20, "{used} bytes");
}

#[test]
fn the_networks_of_very_many_accounts_leave_the_memory_bounded() {
    let limiter = LoginLimiter::new(5);
    for i in 0..80_000 {
        let user = email(&format!("{i}@example.org"));
        limiter.succeeded(limiter.count(&user, network(i), at(0)).unwrap());
    }
    assert!(limiter.lock().known.len() <= ACCOUNTS);
}

#[test]
fn of_many_attempts_at_once_no_more_than_the_limit_pass() {
    let limiter = LoginLimiter::new(5);
    let count = || limiter.count(&email(ADA), network(0), at(0));
    let passed = std::thread::scope(|scope| {
        let attempt = || (0..100).filter(|_| count().is_ok()).count();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(attempt)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!(passed, 5);
}
