//! All interleavings of checks and changes with at most three preemptions, as loom tries them: no check that
//! begins after a change was acknowledged lets a session pass that was read before it.
//!
//! The store's file is compiled here once more, with loom's atomics in place of those of std.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use loom::sync::atomic;
use loom::sync::atomic::AtomicBool;
use loom::sync::{Arc, Mutex};
use loom::thread;

mod domain {
    pub use bearerd::domain::Timestamp;
}

#[allow(dead_code, missing_docs, reason = "the writer and the cache use the rest")]
#[path = "../src/store/cache_invalidation.rs"]
mod cache_invalidation;

use cache_invalidation::{CacheInvalidation, Change, Stamp};

const TOKEN: i64 = 1;
const USER: i64 = 2;

/// A server with one token. SQLite and channels order what they carry, as a lock does.
struct Server {
    invalidation: CacheInvalidation,
    /// Whether the row in the database is live.
    row: Mutex<bool>,
    /// The cached session of the live row.
    cached: Mutex<Option<Stamp>>,
    /// Whether the client has the answer to the change.
    acknowledged: AtomicBool,
}

impl Server {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            invalidation: CacheInvalidation::with_slots(1, 1),
            row: Mutex::new(true),
            cached: Mutex::new(None),
            acknowledged: AtomicBool::new(false),
        })
    }

    fn is_current(&self, stamp: Stamp) -> bool {
        self.invalidation.is_current(stamp, TOKEN, USER, TOKEN)
    }

    /// Checks the token as `TokenCache::look_up` does. Returns whether it passes.
    fn check(&self) -> bool {
        let cached = *self.cached.lock().unwrap();
        if cached.is_some_and(|stamp| self.is_current(stamp)) {
            return true;
        }
        let stamp = self.invalidation.stamp();
        if !*self.row.lock().unwrap() {
            return false;
        }
        *self.cached.lock().unwrap() = Some(stamp);
        // If it is not current, it is read once more; a change that comes now is no earlier than the check.
        self.is_current(stamp) || *self.row.lock().unwrap()
    }

    /// Ends the token as the writer does: it commits, invalidates, and then answers.
    fn end(&self, change: Change) {
        *self.row.lock().unwrap() = false;
        self.invalidation.invalidate([change].into_iter());
        self.acknowledged.store(true, atomic::Ordering::Release);
    }
}

/// Ends the token while it is checked twice, and after that.
fn end_during_checks(change: Change) {
    // Without a bound, it takes a minute.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let server = Server::new();
        let writer = {
            let server = server.clone();
            thread::spawn(move || server.end(change))
        };
        let reader = {
            let server = server.clone();
            thread::spawn(move || server.check())
        };
        let was_acknowledged = server.acknowledged.load(atomic::Ordering::Acquire);
        let passes = server.check();
        assert!(!(was_acknowledged && passes), "passed after the acknowledgement");
        reader.join().unwrap();
        writer.join().unwrap();
        assert!(!server.check(), "passed after the end");
    });
}

#[test]
fn no_session_outlives_a_change_of_its_token() {
    end_during_checks(Change::Token(TOKEN));
}

#[test]
fn no_session_outlives_a_change_of_its_user() {
    end_during_checks(Change::User(USER));
}
