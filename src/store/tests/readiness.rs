//! Probes of the store, and checkpoints.

use super::*;

/// The number of commits, and of checkpoints by their result.
fn count(store: &Store, series: &str) -> u64 {
    let text = store.0.metrics.text();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

#[test]
fn a_probe_writes_to_the_disk_and_serves_all_who_ask_within_a_second() {
    let (store, folder) = open();
    let log = || std::fs::read(folder.path().join("test.sqlite-wal")).unwrap();
    block_on(async {
        let (before, commits) = (log(), count(&store, "bearerd_commit_batch_size_count"));
        let mut hung_up = Box::pin(store.ping());
        assert!(futures_util::FutureExt::now_or_never(hung_up.as_mut()).is_none());
        drop(hung_up);
        for result in join_all((0..100).map(|_| store.ping())).await {
            result.unwrap();
        }
        assert_eq!(count(&store, "bearerd_commit_batch_size_count"), commits + 1);
        assert_ne!(log(), before);
        store.close().await;
    });
}

#[test]
fn a_probe_finds_each_damaged_root() {
    use std::os::unix::fs::FileExt;
    #[derive(QueryableByName)]
    struct Root {
        #[diesel(sql_type = diesel::sql_types::Text)]
        name: String,
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        rootpage: i64,
    }
    let (store, folder) = open();
    let path = folder.path().join("test.sqlite");
    let roots: Vec<Root> = block_on(async {
        store.insert_user(None, user("a@x.org"), NOW).await.unwrap();
        let ask = "SELECT name, rootpage FROM sqlite_master \
            WHERE rootpage > 0 AND tbl_name <> '__diesel_schema_migrations'";
        let roots = store.read(move |c| diesel::sql_query(ask).load(c)).await.unwrap();
        // So that all pages are in the file.
        store.close().await;
        roots
    });
    assert!(roots.len() >= 19);
    let store = Store::open(&path, Metrics::new().unwrap()).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    block_on(async {
        store.probe().await.unwrap();
        for Root { name, rootpage } in roots {
            let place = (rootpage as u64 - 1) * 4096;
            let mut page = [0; 4096];
            file.read_exact_at(&mut page, place).unwrap();
            file.write_all_at(&[0xA5; 4096], place).unwrap();
            let result = store.probe().await;
            assert!(matches!(result, Err(StoreError::Unavailable(_))), "{name}: {result:?}");
            file.write_all_at(&page, place).unwrap();
            store.probe().await.unwrap();
        }
        store.close().await;
    });
}

#[test]
fn a_log_that_a_reader_keeps_long_is_checkpointed_and_cut_once_it_ends() {
    let (store, folder) = open();
    let path = folder.path().join("test.sqlite");
    let bytes = || std::fs::metadata(path.with_extension("sqlite-wal")).unwrap().len();
    let complete = r#"bearerd_checkpoints_total{result="complete"}"#;
    // 20,000 pages in all.
    let write = async |pages: usize| {
        for number in 0..pages / 1000 {
            let mut large = user(&format!("{pages}-{number}@x.org"));
            large.password_hash = PasswordHash::new("x".repeat(4_000_000));
            store.insert_user(None, large, NOW).await.unwrap();
        }
    };
    block_on(async {
        let mut reader = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        diesel::sql_query("BEGIN").execute(&mut reader).unwrap();
        schema::users::table.count().get_result::<i64>(&mut reader).unwrap();
        write(20_000).await;
        assert!(bytes() > 80_000_000);
        assert!(count(&store, r#"bearerd_checkpoints_total{result="partial"}"#) > 0);
        assert_eq!(count(&store, complete), 0);
        diesel::sql_query("COMMIT").execute(&mut reader).unwrap();
        // After the pause that follows an incomplete checkpoint.
        let start = std::time::Instant::now();
        while count(&store, complete) == 0 {
            assert!(start.elapsed() < Duration::from_secs(10));
            store.probe().await.unwrap();
        }
        store.probe().await.unwrap();
        assert_eq!(bytes(), 64 << 20);
        store.close().await;
    });
}
