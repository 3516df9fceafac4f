use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use bearerd::app::{self, Services};
use bearerd::auth::{Auth, TokenRequest};
use bearerd::domain::{Email, Name};
use serde_json::json;

use crate::support::{Place, Serving, count_accepted, db_damage, stderr};

#[test]
fn a_backup_is_one_private_file_that_works() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let _server = place.serve();
    assert_eq!(
        place.print(&["backup", "copy.sqlite"]),
        "database bearerd.sqlite backed up to copy.sqlite\n"
    );
    let copy = place.path().join("copy.sqlite");
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let ours = place.file_names();
    assert_eq!(
        ours,
        ["bearerd.sqlite", "bearerd.sqlite-shm", "bearerd.sqlite-wal", "copy.sqlite"],
        "no other file is left"
    );
    let serve = ["serve", "--listen", "127.0.0.1:0", "--database-url", "sqlite://copy.sqlite"];
    let restored = Serving::start(place.command(&serve));
    assert_eq!(restored.status(&token), 200);
}

#[test]
fn a_backup_overwrites_nothing() {
    let place = Place::new();
    place.create_ada();
    let path = |name: &str| place.path().join(name);
    fs::write(path("file"), "precious").unwrap();
    fs::write(path("empty"), "").unwrap();
    fs::create_dir(path("folder")).unwrap();
    std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
    let before = place.file_names();
    for name in ["file", "empty", "folder", "link", "bearerd.sqlite"] {
        let output = place.run(&["backup", name]);
        assert_eq!(output.status.code(), Some(1));
        let message = format!("bearerd: {name} exists already, and a backup overwrites nothing\n");
        assert_eq!(stderr(&output), message);
    }
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "precious");
    assert_eq!(place.file_names(), before);
}

/// A folder as a backup that was killed leaves it.
fn leave(place: &Place, name: &str) -> PathBuf {
    let folder = place.path().join(name);
    fs::create_dir(&folder).unwrap();
    for name in ["lock", ".tmpAb12", ".tmpAb12-journal"] {
        fs::write(folder.join(name), "").unwrap();
    }
    folder
}

#[test]
fn what_a_killed_backup_leaves_is_deleted_by_the_next_one_and_by_the_server() {
    let place = Place::new();
    place.create_ada();
    let in_use = leave(&place, ".bearerd-backup-in-use");
    let lock = fs::File::options().write(true).open(in_use.join("lock")).unwrap();
    lock.lock().unwrap();
    let killed = leave(&place, ".bearerd-backup-killed");
    let other = leave(&place, "other");
    place.print(&["backup", "copy.sqlite"]);
    assert!(!killed.exists() && in_use.join(".tmpAb12").exists() && other.exists());
    leave(&place, ".bearerd-backup-killed");
    let _server = place.serve();
    assert!(!killed.exists() && in_use.exists());
    drop(lock);
    place.print(&["backup", "copy-2.sqlite"]);
    assert!(!in_use.exists() && other.exists());
}

#[test]
fn a_failed_backup_leaves_no_file() {
    let place = Place::new();
    let nothing = place.run(&["backup", "copy.sqlite"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(stderr(&nothing).contains("there is no database bearerd.sqlite to back up"));
    assert_eq!(place.file_names(), [""; 0]);

    place.create_ada();
    place.issue();
    let missing = place.run(&["backup", "missing/copy.sqlite"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("can't back up to missing/copy.sqlite: "));
    db_damage(&place, "tokens");
    let damaged = place.run(&["backup", "copy.sqlite"]);
    assert_eq!(damaged.status.code(), Some(1));
    assert!(stderr(&damaged).contains("malformed"), "{}", stderr(&damaged));
    assert_eq!(place.file_names(), ["bearerd.sqlite"]);
}

/// Issues tokens until `stop` is set, and records each acknowledged token.
async fn issue_tokens(auth: &Auth, acknowledged: &Acknowledged, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let request =
            TokenRequest { name: Name::parse("ci").unwrap(), abilities: None, expires_in: None };
        let email = Email::parse("ada@example.org").unwrap();
        let issued = auth.issue(email, request).await.unwrap();
        acknowledged.tokens.lock().unwrap().push(issued.plain.expose().to_owned());
        acknowledged.one_more.notify_one();
    }
}

#[derive(Default)]
struct Acknowledged {
    tokens: Mutex<Vec<String>>,
    one_more: Condvar,
}

#[test]
fn a_backup_while_32_clients_write_contains_every_token_acknowledged_before_it() {
    let place = Place::new();
    place.create_ada();
    let (acknowledged, stop) = (Acknowledged::default(), AtomicBool::new(false));
    let (before, after) = std::thread::scope(|scope| {
        scope.spawn(|| {
            app::block_on(async {
                let services =
                    Services::open(&place.config("bearerd.sqlite"), app::system_clock()).unwrap();
                let clients = (0..32).map(|_| issue_tokens(&services.auth, &acknowledged, &stop));
                futures_util::future::join_all(clients).await;
                services.close().await;
            });
        });
        let few = |tokens: &mut Vec<_>| tokens.len() < 2000;
        let Acknowledged { tokens, one_more } = &acknowledged;
        let enough =
            one_more.wait_timeout_while(tokens.lock().unwrap(), Duration::from_secs(60), few);
        let before = enough.unwrap().0.clone();
        let output = place.run(&["backup", "copy.sqlite"]);
        let after = tokens.lock().unwrap().len();
        stop.store(true, Ordering::Relaxed);
        assert!(output.status.success(), "{}", stderr(&output));
        (before, after)
    });
    assert!(before.len() >= 2000 && after > before.len(), "the clients could not write");
    let (code, report) = place.check("copy.sqlite");
    assert_eq!((code, &report["database"]["faults"]), (Some(0), &json!([])));
    assert_eq!(count_accepted(&place.config("copy.sqlite"), &before), before.len());
}
