//! How long cached sessions pass while the changes of other processes can't be read.

use std::time::Instant;

use super::invalidation::*;
use super::*;

/// Waits until the token passes from memory, or no longer does: a second, or longer on a busy machine.
async fn await_passing_from_memory(bench: &Bench, expected: bool) {
    let start = Instant::now();
    while passes_from_memory(bench) != expected {
        assert!(start.elapsed() < Duration::from_secs(10), "{expected}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn tokens_are_looked_up_while_the_changes_of_others_can_not_be_read() {
    block_on(async {
        let bench = bench().await;
        let auth = &bench.services.auth;
        assert_eq!(look_up_across(&bench, async {}).await, (true, 1));
        assert!(passes_from_memory(&bench));
        execute(&bench, "ALTER TABLE changes RENAME TO elsewhere");
        await_passing_from_memory(&bench, false).await;
        // Its own read shows that the token is live.
        auth.look_up(&bench.presented).await.unwrap();
        assert!(!passes_from_memory(&bench));
        execute(&bench, "ALTER TABLE elsewhere RENAME TO changes");
        await_passing_from_memory(&bench, true).await;
        bench.services.close().await;
        // The writer has stopped.
        assert!(!passes_from_memory(&bench));
        assert!(matches!(auth.look_up(&bench.presented).await, Err(Error::Unavailable(_))));
    });
}

#[test]
fn no_token_passes_from_memory_for_longer_than_a_second_after_the_last_news() {
    block_on(async {
        let bench = bench().await;
        let auth = &bench.services.auth;
        let live = bench_token(auth).await;
        let live = PresentedToken { hash: live.plain.hash(), id: None };
        auth.look_up(&live).await.unwrap();
        assert_eq!(look_up_across(&bench, async {}).await, (true, 1));
        let held = auth.0.store.hold_news();
        let other = Services::open(&bench.config, app::system_clock()).unwrap();
        other.auth.revoke(Actor::Operator, bench.issued.token.id, None).await.unwrap();
        other.close().await;
        await_passing_from_memory(&bench, false).await;
        let refused = auth.look_up(&bench.presented).await;
        assert!(matches!(refused, Err(Error::InvalidToken)), "{refused:?}");
        let reads = Cell::new(0);
        let read = async |hash| {
            reads.set(reads.get() + 1);
            auth.0.store.token_by_hash(hash).await
        };
        for _ in 0..2 {
            auth.look_up_by(&live, read).await.unwrap();
        }
        assert_eq!(reads.get(), 2, "each check reads for itself");
        drop(held);
        // The next write brings the news.
        auth.revoke(Actor::Operator, -1, None).await.unwrap_err();
        auth.look_up_by(&live, read).await.unwrap();
        assert_eq!(reads.get(), 2, "it passes from memory again");
        assert!(!passes_from_memory(&bench));
        bench.services.close().await;
    });
}
