use std::fs::{self, File};
use std::io::{PipeReader, Read as _, pipe};
use std::time::{Duration, Instant};

use crate::support::{Place, Serving, db_damage};

/// A well-formed token that nobody has.
fn unknown_token(number: u32) -> String {
    let random = format!("{number:040}");
    format!("bd_{random}{:08x}", crc32fast::hash(random.as_bytes()))
}

/// How many lines of the log stand for a fault: those that were logged and those that were left out.
fn count_lines(log: &str, fault: &str) -> (usize, u64) {
    let number = |words: &str| words.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    let lines = log.lines().filter(|line| line.contains(fault));
    let represented = lines.clone().map(|line| {
        match (
            line.split_once(" more like this, not logged"),
            line.split_once(" like it that were not"),
        ) {
            (Some((before, _)), _) => number(before),
            (_, Some((before, _))) => 1 + number(before),
            _ => 1,
        }
    });
    (lines.count(), represented.sum())
}

#[test]
fn a_fault_under_load_is_logged_once_a_second_and_every_occurrence_is_counted() {
    let place = Place::new();
    place.create_ada();
    db_damage(&place, "tokens_digest_prefix");
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--log", "info"]);
    let path = place.path().join("log");
    command.stderr(File::create(&path).unwrap());
    let mut server = Serving::start(command);
    let start = Instant::now();
    let mut checks = 0;
    let mut check = || {
        checks += 1;
        assert_eq!(server.status(&unknown_token(checks)), 503);
    };
    (0..500).for_each(|_| check());
    // Another fault, which the same place logs.
    let database = place.path().join("bearerd.sqlite");
    fs::rename(&database, place.path().join("elsewhere")).unwrap();
    let log = || fs::read_to_string(&path).unwrap();
    let is_other = |line: &str| line.contains("answered 503: ") && !line.contains("malformed");
    while !log().lines().any(is_other) {
        check();
        assert!(start.elapsed() < Duration::from_secs(20), "{}", log());
    }
    assert_eq!(server.signal("-TERM"), Some(0));
    let (lines, occurrences) = count_lines(&log(), "answered 503: ");
    // For each fault, one in each second that has begun, and one at the end.
    let most = 2 * (start.elapsed().as_secs() as usize + 2);
    assert!((2..=most).contains(&lines), "{}", log());
    assert_eq!(occurrences, u64::from(checks), "{}", log());
}

/// A server whose log nobody reads.
fn serve_unread(place: &Place) -> (Serving, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--log", "trace"]);
    command.stderr(writer);
    (Serving::start(command), reader)
}

fn dropped_lines(server: &Serving) -> u64 {
    let mut answer = ureq::get(format!("{}/metrics", server.url)).call().unwrap();
    let metrics = answer.body_mut().read_to_string().unwrap();
    let line =
        metrics.lines().find_map(|line| line.strip_prefix("bearerd_log_lines_dropped_total "));
    line.unwrap().parse().unwrap()
}

/// Checks a token until this many lines were lost because the log is full.
fn fill_log(server: &Serving, token: &str) {
    for _ in 0..2000 {
        assert_eq!(server.status(token), 200);
        if dropped_lines(server) > 0 {
            return;
        }
    }
    panic!("no line was dropped");
}

#[test]
fn no_request_waits_for_a_log_that_nobody_reads() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let (mut server, mut reader) = serve_unread(&place);
    fill_log(&server, &token);
    let log = std::thread::spawn(move || {
        let mut log = Vec::new();
        reader.read_to_end(&mut log).unwrap();
        String::from_utf8(log).unwrap()
    });
    // The end of the log is written at the shutdown.
    assert_eq!(server.signal("-TERM"), Some(0));
    let log = log.join().unwrap();
    assert!(log.contains(" lines were lost"), "no report in {} bytes", log.len());
    assert!(log.lines().all(|line| line.starts_with('[')), "lines are whole");
}

#[test]
fn the_shutdown_does_not_wait_for_a_log_that_nobody_reads() {
    let place = Place::new();
    place.create_ada();
    let (mut server, _unread) = serve_unread(&place);
    fill_log(&server, &place.issue());
    let start = Instant::now();
    assert_eq!(server.signal("-TERM"), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_log_that_can_t_be_written_does_not_stop_the_server() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let (mut server, reader) = serve_unread(&place);
    drop(reader);
    assert_eq!(server.status(&token), 200);
    assert!(dropped_lines(&server) > 0);
    assert_eq!(server.signal("-TERM"), Some(0));
    #[cfg(target_os = "linux")]
    {
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--log", "trace"]);
        command.stderr(File::options().write(true).open("/dev/full").unwrap());
        let mut server = Serving::start(command);
        assert_eq!(server.status(&token), 200);
        assert!(dropped_lines(&server) > 0);
        assert_eq!(server.signal("-TERM"), Some(0));
    }
}
