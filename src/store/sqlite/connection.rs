//! Opening the file: its permissions, its pragmas, its schema.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::is_locked;
use super::open_files::OpenFiles;
use crate::config::ConfigError;
use crate::store::emails::define_email_key;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Why a database can't be opened. Each error is one line for the person who started the program.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Settings that don't go together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Missing folder, missing permission, a directory in the file's place.
    #[error("can't open the database {path}: {cause}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The error of the operating system or SQLite.
        cause: String,
    },
    /// The file is not a SQLite database.
    #[error("{0} is not a SQLite database; move it away, or name another file")]
    NotADatabase(PathBuf),
    /// The file, or its folder, can be read but not written.
    #[error("the database {0} is read-only; bearerd needs to write to it and to its folder")]
    ReadOnly(PathBuf),
    /// The write-ahead log can't be created or shared with other processes.
    #[error(
        "the database {path} can't have a write-ahead log ({cause}); its folder must be writable, and on a local disk, not on a network file system"
    )]
    NoLog {
        /// The database.
        path: PathBuf,
        /// The error of SQLite, or the mode in which it stays.
        cause: String,
    },
    /// A later release has migrated the file.
    #[error(
        "the database {path} is newer than this program: it has the migration {version}; use the bearerd that wrote it, or a later one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The first migration that this program doesn't know.
        version: String,
    },
}

const WRITER: &str = "PRAGMA busy_timeout = 5000; PRAGMA trusted_schema = OFF;";
const READER: &str =
    "PRAGMA busy_timeout = 5000; PRAGMA trusted_schema = OFF; PRAGMA query_only = ON;";
const COPIER: &str = "PRAGMA busy_timeout = 5000; PRAGMA trusted_schema = OFF;";
/// Durable at each commit, on macOS too. The cache is 16 MiB at most, for the pages that every write
/// changes; it grows only as it fills. The writer checkpoints the write-ahead log itself: see `checkpoints`. A
/// log that has grown beyond 64 MiB shrinks to that when it is next written from its start. Foreign keys are
/// off: with them, the deletion of a user would delete the user's tokens row by row, which the sweeper does
/// later.
const DURABLE: &str = "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA foreign_keys = OFF; \
    PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864;";
/// How long the start waits for another process that is using the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the connection that writes. The schema is migrated.
pub(in crate::store) fn open_writer(path: &Path) -> Result<SqliteConnection, OpenError> {
    create_private(path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
            if path.is_file() =>
        {
            OpenError::ReadOnly(path.to_owned())
        }
        _ => OpenError::Open { path: path.to_owned(), cause: cause.to_string() },
    })?;
    let start = Instant::now();
    loop {
        // Several processes may start on the same new file; SQLite doesn't always wait by itself.
        match try_open_writer(path) {
            Err(OpenError::Open { cause, .. })
                if is_locked(&cause) && start.elapsed() < PATIENCE => {}
            result => return result,
        }
    }
}

fn try_open_writer(path: &Path) -> Result<SqliteConnection, OpenError> {
    let failed = |error: &dyn std::fmt::Display| explain(path, error.to_string());
    let mut connection = connect(path).map_err(|error| failed(&error))?;
    connection.batch_execute(WRITER).map_err(|error| failed(&error))?;
    // Before the first write: a file of a later release is not changed.
    refuse_newer(&mut connection, path)?;
    require_log(&mut connection, path)?;
    connection.batch_execute(DURABLE).map_err(|error| failed(&error))?;
    define_email_key(&mut connection).map_err(|error| failed(&error))?;
    connection
        .immediate_transaction(|connection| {
            connection.run_pending_migrations(MIGRATIONS)?;
            // SQLite reports a read-only file only at the first write.
            connection.batch_execute("PRAGMA user_version = 0;")?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        })
        .map_err(|error| failed(&error))?;
    Ok(connection)
}

/// Turns the write-ahead log on. Where SQLite can't share memory between processes, it stays in another mode
/// without an error.
fn require_log(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    #[derive(QueryableByName)]
    struct Mode {
        #[diesel(sql_type = Text)]
        journal_mode: String,
    }
    let set = diesel::sql_query("PRAGMA journal_mode = WAL").get_result(connection);
    let cause = match set.map_err(|error| explain(path, error.to_string())) {
        Ok(Mode { journal_mode }) if journal_mode == "wal" => return Ok(()),
        Ok(Mode { journal_mode }) => format!("SQLite stays in the mode {journal_mode}"),
        Err(OpenError::Open { cause, .. }) if !is_locked(&cause) => cause,
        Err(error) => return Err(error),
    };
    Err(OpenError::NoLog { path: path.to_owned(), cause })
}

/// A further connection to the files, which copies them. It can't have `query_only`, which would forbid writing
/// the copy.
pub(in crate::store) fn open_copier(
    files: &OpenFiles,
) -> Result<SqliteConnection, Box<dyn std::error::Error>> {
    let mut connection = SqliteConnection::establish(&uri(files.database()))?;
    files.check()?;
    connection.batch_execute(COPIER)?;
    Ok(connection)
}

/// A further connection to the files, which can't write.
pub(in crate::store) fn open_reader(
    files: &OpenFiles,
) -> Result<SqliteConnection, Box<dyn std::error::Error>> {
    let mut connection = SqliteConnection::establish(&uri(files.database()))?;
    prepare_reader(&mut connection, files)?;
    Ok(connection)
}

/// Makes a new connection one that can't write. Fails if it has opened another file than the other connections,
/// because the file was replaced.
pub(in crate::store) fn prepare_reader(
    connection: &mut SqliteConnection,
    files: &OpenFiles,
) -> Result<(), Box<dyn std::error::Error>> {
    files.check()?;
    Ok(connection.batch_execute(READER)?)
}

/// A URI for connections after the first one. They don't create a file that was deleted.
pub(in crate::store) fn uri(path: &Path) -> String {
    const ENCODED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
    format!("file:{}?mode=rw", utf8_percent_encode(&as_sqlite_path(path), ENCODED))
}

/// The path in a form that SQLite doesn't read as a URI or as a database in memory.
fn as_sqlite_path(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.to_string_lossy().into_owned()
}

fn connect(path: &Path) -> ConnectionResult<SqliteConnection> {
    SqliteConnection::establish(&as_sqlite_path(path))
}

/// Creates the file where there is none. It will hold password hashes, so only its owner may read
/// it; SQLite gives its companions (`-wal`, `-shm`) the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).write(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn refuse_newer(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    diesel::table! {
        __diesel_schema_migrations (version) {
            version -> Text,
        }
    }
    diesel::table! {
        sqlite_master (name) {
            name -> Text,
        }
    }
    let explain = |error: diesel::result::Error| explain(path, error.to_string());
    let history = sqlite_master::table.filter(sqlite_master::name.eq("__diesel_schema_migrations"));
    let has_history: bool =
        diesel::select(diesel::dsl::exists(history)).get_result(connection).map_err(explain)?;
    if !has_history {
        return Ok(());
    }
    let known: Vec<String> = MigrationSource::<Sqlite>::migrations(&MIGRATIONS)
        .map_err(|error| OpenError::Open { path: path.to_owned(), cause: error.to_string() })?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    let unknown = __diesel_schema_migrations::table
        .select(__diesel_schema_migrations::version)
        .filter(__diesel_schema_migrations::version.ne_all(known))
        .order(__diesel_schema_migrations::version)
        .first::<String>(connection)
        .optional()
        .map_err(explain)?;
    match unknown {
        Some(version) => Err(OpenError::Newer { path: path.to_owned(), version }),
        None => Ok(()),
    }
}

fn explain(path: &Path, cause: String) -> OpenError {
    let path = path.to_owned();
    if cause.contains("not a database") {
        OpenError::NotADatabase(path)
    } else if cause.contains("readonly database") {
        OpenError::ReadOnly(path)
    } else if cause.contains("unable to open") && path.is_file() {
        // The database itself could be opened.
        OpenError::NoLog { path, cause }
    } else {
        OpenError::Open { path, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_without_a_write_ahead_log_is_refused() {
        // One in memory can't have one.
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        let refused = require_log(&mut connection, Path::new("a.sqlite")).unwrap_err().to_string();
        assert!(refused.contains("SQLite stays in the mode memory"), "{refused}");
        assert!(refused.contains("local disk"), "{refused}");
    }
}
