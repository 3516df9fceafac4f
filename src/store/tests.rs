mod readiness;

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use tempfile::TempDir;

use super::*;
use crate::app::block_on;
use crate::domain::{Abilities, Email, Lifetime, Name, PasswordHash, Timestamp, TokenHash};

fn open() -> (Store, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.sqlite");
    (Store::open(&path, Metrics::new().unwrap()).unwrap(), folder)
}

fn user(email: &str) -> UserRecord {
    UserRecord {
        name: Name::parse("Ada").unwrap(),
        email: Email::parse(email).unwrap(),
        reuse_email: false,
        password_hash: PasswordHash::new("$2b$".to_owned()),
        abilities: Abilities::all(),
        admin: false,
    }
}

const NOW: Timestamp = Timestamp::from_unix(0);

/// Holds the writer inside a job until the returned sender is dropped.
fn hold_writer(store: &Store) -> (mpsc::Sender<()>, impl Future<Output = Result<(), StoreError>>) {
    let (release, released) = mpsc::channel::<()>();
    let (entered, entrance) = mpsc::channel();
    let mut held = Box::pin({
        let store = store.clone();
        async move {
            store
                .write(move |_| {
                    entered.send(()).unwrap();
                    let _ = released.recv();
                    Ok(())
                })
                .await
        }
    });
    // One poll puts it into the queue.
    assert!(futures_util::FutureExt::now_or_never(held.as_mut()).is_none());
    entrance.recv().unwrap();
    (release, held)
}

#[test]
fn a_failing_job_spoils_no_other_of_its_batch() {
    let (store, _folder) = open();
    block_on(async {
        let (release, held) = hold_writer(&store);
        let batch = ["a@x.org", "b@x.org", "A@X.ORG", "c@x.org"].map(|email| {
            let store = store.clone();
            async move { store.insert_user(None, user(email), NOW).await }
        });
        let panic = store.write(|_| -> Result<(), StoreError> { panic!("on purpose") });
        let (results, panicked, ()) = futures_util::join!(join_all(batch), panic, async {
            drop(release);
            held.await.unwrap();
        });
        assert!(matches!(results.as_slice(), [Ok(_), Ok(_), Err(StoreError::Taken), Ok(_)]));
        assert!(matches!(panicked, Err(StoreError::Failed(_))));
        assert_eq!(store.users_after(0).await.unwrap().len(), 3);
        store.close().await;
    });
}

#[test]
fn a_full_disk_refuses_a_write_and_loses_nothing() {
    let (store, _folder) = open();
    block_on(async {
        store.insert_user(None, user("first@x.org"), NOW).await.unwrap();
        // SQLite's own limit gives the error of a full disk.
        store.write(|c| Ok(set_max_pages(c, 1)?)).await.unwrap();
        let mut large = user("large@x.org");
        large.password_hash = PasswordHash::new("x".repeat(1_000_000));
        let refused = store.insert_user(None, large.clone(), NOW).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        store.write(|c| Ok(set_max_pages(c, 1_000_000)?)).await.unwrap();
        store.insert_user(None, large, NOW).await.unwrap();
        assert_eq!(store.users_after(0).await.unwrap().len(), 2);
        store.close().await;
    });
}

fn set_max_pages(connection: &mut SqliteConnection, pages: u32) -> QueryResult<()> {
    use diesel::connection::SimpleConnection;
    connection.batch_execute(&format!("PRAGMA max_page_count = {pages}"))
}

#[test]
fn a_full_queue_of_writes_refuses_the_next() {
    let (store, _folder) = open();
    block_on(async {
        let (release, held) = hold_writer(&store);
        let mut waiting: Vec<_> =
            (0..sqlite::writer::QUEUE).map(|_| Box::pin(store.write(|_| Ok(())))).collect();
        for write in &mut waiting {
            assert!(futures_util::FutureExt::now_or_never(write.as_mut()).is_none());
        }
        // Callers who hang up free no place: their writes are still to be done.
        waiting.truncate(sqlite::writer::QUEUE / 2);
        assert!(matches!(store.write(|_| Ok(())).await, Err(StoreError::Busy)));
        drop(release);
        held.await.unwrap();
        for result in join_all(waiting).await {
            result.unwrap();
        }
        store.write(|_| Ok(())).await.unwrap();
        store.close().await;
    });
}

#[test]
fn a_full_queue_of_reads_refuses_the_next() {
    let (store, _folder) = open();
    block_on(async {
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        // Readers that take a query block on it; the rest of the queue fills behind them.
        let mut waiting = Vec::new();
        let refused = loop {
            let released = released.clone();
            let mut read = Box::pin(store.read(move |_| {
                let _ = released.lock().unwrap().recv();
                Ok(())
            }));
            match futures_util::FutureExt::now_or_never(read.as_mut()) {
                None => waiting.push(read),
                Some(result) => break result,
            }
        };
        assert!(matches!(refused, Err(StoreError::Busy)));
        assert!(waiting.len() >= sqlite::readers::QUEUE);
        drop(release);
        for result in join_all(waiting).await {
            result.unwrap();
        }
        store.ping().await.unwrap();
        store.close().await;
    });
}

#[test]
fn a_reader_can_not_write() {
    let (store, _folder) = open();
    block_on(async {
        let write =
            store.read(|connection| diesel::delete(schema::users::table).execute(connection));
        assert!(matches!(write.await, Err(StoreError::Unavailable(_))));
        store.close().await;
    });
}

#[test]
fn a_closed_store_refuses() {
    let (store, _folder) = open();
    block_on(async {
        store.close().await;
        assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
        let write = store.insert_user(None, user("a@x.org"), NOW).await;
        assert!(matches!(write, Err(StoreError::Unavailable(_))));
    });
}

#[test]
fn writes_that_wait_together_are_committed_together() {
    use diesel::connection::{Instrumentation, InstrumentationEvent};
    let (store, _folder) = open();
    block_on(async {
        let commits = Arc::new(Mutex::new(0));
        let count = commits.clone();
        let watch = move || -> Box<dyn Instrumentation> {
            Box::new(move |event: InstrumentationEvent<'_>| {
                if let InstrumentationEvent::StartQuery { query, .. } = event {
                    *count.lock().unwrap() += u32::from(query.to_string().starts_with("COMMIT"));
                }
            })
        };
        store
            .write(move |c| {
                c.set_instrumentation(watch());
                Ok(())
            })
            .await
            .unwrap();
        let (release, held) = hold_writer(&store);
        let mut waiting: Vec<_> = (0..64).map(|_| Box::pin(store.write(|_| Ok(())))).collect();
        for write in &mut waiting {
            assert!(futures_util::FutureExt::now_or_never(write.as_mut()).is_none());
        }
        let before = *commits.lock().unwrap();
        drop(release);
        held.await.unwrap();
        join_all(waiting).await;
        assert_eq!(*commits.lock().unwrap() - before, 2, "the held one, and the rest");
        store.close().await;
    });
}

#[test]
fn a_revocation_is_invalidated_before_its_answer_and_other_writes_invalidate_nothing() {
    let (store, _folder) = open();
    block_on(async {
        let owner = store.insert_user(None, user("a@x.org"), NOW).await.unwrap();
        let insert = async |text: &[u8]| {
            let token = NewToken {
                name: Name::parse("x").unwrap(),
                hash: TokenHash::of(text),
                abilities: None,
                created_at: NOW,
                expires_at: None,
            };
            let email = Email::parse("a@x.org").unwrap();
            let quota = Quota { most: None, ttl: Lifetime::NEVER };
            let inserted = store.insert_token_for_email(email, token, quota).await.unwrap();
            let Insertion::Done(stored) = inserted else { panic!("{inserted:?}") };
            stored.token.id
        };
        let id = insert(b"x").await;
        let invalidation = store.invalidation();
        let stamp = invalidation.stamp();
        let is_current = || invalidation.is_current(stamp, id, owner.id, id);
        assert_eq!(store.revoke_token(None, id, Some(7), NOW).await.unwrap(), 0);
        let other = insert(b"y").await;
        store.record_usage(vec![(id, NOW)]).await.unwrap();
        assert_eq!(store.revoke_token(None, other, None, NOW).await.unwrap(), 1);
        assert!(is_current());
        assert_eq!(store.revoke_token(None, id, None, NOW).await.unwrap(), 1);
        assert!(!is_current());
        store.close().await;
    });
}

#[test]
fn look_ups_do_not_wait_for_lists() {
    let (store, _folder) = open();
    block_on(async {
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let mut lists: Vec<_> = (0..100)
            .map(|_| {
                let released = released.clone();
                Box::pin(store.read_list(move |_| {
                    let _ = released.lock().unwrap().recv();
                    Ok(())
                }))
            })
            .collect();
        for list in &mut lists {
            assert!(futures_util::FutureExt::now_or_never(list.as_mut()).is_none());
        }
        assert!(store.token_by_id(1).await.unwrap().is_none());
        store.ping().await.unwrap();
        drop(release);
        for result in join_all(lists).await {
            result.unwrap();
        }
        store.close().await;
    });
}

#[test]
fn a_commit_is_on_the_disk_before_its_answer() {
    #[derive(QueryableByName)]
    struct Pragmas {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        synchronous: i64,
        #[diesel(sql_type = diesel::sql_types::Text)]
        journal_mode: String,
    }
    let (store, _folder) = open();
    block_on(async {
        let ask = "SELECT synchronous, journal_mode FROM pragma_synchronous, pragma_journal_mode";
        let pragmas: Pragmas =
            store.write(move |c| Ok(diesel::sql_query(ask).get_result(c)?)).await.unwrap();
        assert_eq!((pragmas.synchronous, pragmas.journal_mode.as_str()), (2, "wal"));
        store.close().await;
    });
}
