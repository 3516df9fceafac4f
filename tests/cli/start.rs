//! Errors at the start, and the files that a start creates.

use std::fs;
use std::process::{Command, Stdio};

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};

use crate::support::{Place, refusal, stderr};

#[test]
fn processes_that_start_together_create_one_database() {
    let place = Place::new();
    let starting: Vec<_> = (0..6)
        .map(|_| {
            let mut command = place.command(&["user", "list"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in starting {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

#[test]
fn an_unusable_database_is_reported_in_one_line() {
    let place = Place::new();
    let path = |name: &str| place.path().join(name);
    fs::write(path("text.sqlite"), "no database, but long enough to be read. ".repeat(30)).unwrap();
    fs::create_dir(path("folder.sqlite")).unwrap();
    place.print(&["--database-url", "sqlite://newer.sqlite", "user", "list"]);
    let newer = path("newer.sqlite").to_string_lossy().into_owned();
    SqliteConnection::establish(&newer)
        .unwrap()
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000')")
        .unwrap();
    for (name, text) in [
        ("missing/x.sqlite", "can't open the database"),
        ("folder.sqlite", "can't open the database"),
        ("text.sqlite", "is not a SQLite database"),
        ("newer.sqlite", "newer than this program: it has the migration 99991231000000"),
    ] {
        let url = format!("sqlite://{name}");
        let message = refusal(&mut place.command(&[
            "--database-url",
            &url,
            "serve",
            "--listen",
            "127.0.0.1:0",
        ]));
        assert!(message.contains(text) && message.contains(name), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn a_read_only_database_is_reported_in_one_line() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.create_ada();
    let file = place.path().join("bearerd.sqlite");
    for (path, mode) in [(file.as_path(), 0o444), (place.path(), 0o555)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut serve = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    // Root ignores permissions, so the server runs as another user.
    let message = match fs::OpenOptions::new().write(true).open(&file) {
        Err(_) => refusal(&mut serve),
        Ok(_) => {
            // That user may not be able to read the build's folder.
            let program = tempfile::tempdir().unwrap();
            let copy = program.path().join("bearerd");
            fs::copy(serve.get_program(), &copy).unwrap();
            fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let mut nobody = Command::new("setpriv");
            nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
            refusal(nobody.args(serve.get_args()).current_dir(place.path()))
        }
    };
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(message.contains("bearerd.sqlite is read-only"), "{message}");
}

#[test]
fn an_address_in_use_is_reported() {
    let place = Place::new();
    place.create_ada();
    let server = place.serve();
    let address = server.url.strip_prefix("http://").unwrap();
    let output = place.run(&["serve", "--listen", address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("can't listen on {address}")), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn too_few_open_files_are_reported_in_one_line() {
    let place = Place::new();
    let serve = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    for limit in [16, 24, 32, 48, 64] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]);
        shell.arg(serve.get_program()).args(serve.get_args()).current_dir(place.path());
        let message = refusal(&mut shell);
        let text = format!("the limit of open files is {limit}, but the server needs at least");
        assert!(message.contains(&text), "{message}");
    }
    assert!(!place.path().join("bearerd.sqlite").exists(), "nothing was started");
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_database_files() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let _server = place.serve();
    let files: Vec<_> = fs::read_dir(place.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 3, "the database and its two companions");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{file:?}");
    }
}
