//! What SQLite's errors mean. Diesel passes on the message alone for most of them; the messages are those
//! of `sqlite3_errstr`, which SQLite keeps stable.

use diesel::result::{DatabaseErrorKind, Error};

use crate::store::StoreError;

/// Messages that tell of the machine: the lock is held for too long, the disk is full or fails, the file is
/// gone, damaged or read-only. The same request may succeed later.
const OF_THE_MACHINE: [&str; 10] = [
    LOCKED,
    "database table is locked",
    "locking protocol",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
    "database disk image is malformed",
    "file is not a database",
    "out of memory",
];

const LOCKED: &str = "database is locked";

/// Sorts an error of a query. An error that is not known is the program's own: to repeat the request would
/// not help.
pub(in crate::store) fn classify(error: &Error) -> StoreError {
    let message = error.to_string();
    match error {
        Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => StoreError::Taken,
        Error::DatabaseError(
            DatabaseErrorKind::Unknown | DatabaseErrorKind::ReadOnlyTransaction,
            _,
        ) if OF_THE_MACHINE.iter().any(|known| message.contains(known)) => {
            StoreError::Unavailable(message)
        }
        _ => StoreError::Failed(message),
    }
}

/// Whether another process holds the lock.
pub(in crate::store) fn is_locked(message: &str) -> bool {
    message.contains(LOCKED)
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        classify(&error)
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::prelude::*;

    use super::*;

    /// A connection to a new file with one table.
    fn open(path: &std::path::Path) -> SqliteConnection {
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        connection
            .batch_execute("CREATE TABLE IF NOT EXISTS t (a INTEGER UNIQUE NOT NULL CHECK (a < 9))")
            .unwrap();
        connection
    }

    fn class(connection: &mut SqliteConnection, sql: &str) -> &'static str {
        match classify(&connection.batch_execute(sql).unwrap_err()) {
            StoreError::Taken => "taken",
            StoreError::Unavailable(_) => "unavailable",
            StoreError::Failed(_) => "failed",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_error_of_sqlite_has_its_class() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        let mut connection = open(&path);
        for (prepare, sql, expected) in [
            ("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1)", "taken"),
            ("", "INSERT INTO t VALUES (NULL)", "failed"),
            ("", "INSERT INTO t VALUES (9)", "failed"),
            ("", "SELECT * FROM missing", "failed"),
            ("", "nonsense", "failed"),
            ("PRAGMA query_only = ON", "INSERT INTO t VALUES (2)", "unavailable"),
            (
                "PRAGMA query_only = OFF; PRAGMA max_page_count = 1",
                "CREATE TABLE u AS SELECT randomblob(100000)",
                "unavailable",
            ),
        ] {
            connection.batch_execute(prepare).unwrap();
            assert_eq!(class(&mut connection, sql), expected, "{sql}");
        }
        let mut other = open(&path);
        other.batch_execute("BEGIN IMMEDIATE").unwrap();
        assert_eq!(class(&mut connection, "BEGIN IMMEDIATE"), "unavailable");
        assert!(is_locked(&connection.batch_execute("BEGIN IMMEDIATE").unwrap_err().to_string()));
    }

    #[test]
    fn a_damaged_file_and_one_that_is_no_database_are_unavailable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        open(&path).batch_execute("INSERT INTO t VALUES (1)").unwrap();
        let whole = std::fs::read(&path).unwrap();
        // The table's page, then the header.
        for from in [4096, 0] {
            let mut damaged = whole.clone();
            damaged[from..from + 100].fill(0xff);
            std::fs::write(&path, damaged).unwrap();
            let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
            assert_eq!(class(&mut connection, "INSERT INTO t VALUES (2)"), "unavailable", "{from}");
        }
    }
}
