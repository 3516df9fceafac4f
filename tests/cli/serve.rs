use std::fs;
use std::io::{Read, Write};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Place, Serving};

#[test]
fn no_secret_is_logged_at_any_level() {
    let place = Place::new();
    place.create_ada();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--log", "trace"]);
    let log = place.path().join("log");
    command.stderr(fs::File::create(&log).unwrap());
    let mut server = Serving::start(command);
    let body = json!({"email": "ada@example.org", "password": "correct horse", "device_name": "x"});
    let mut answer = ureq::post(format!("{}/api/tokens", server.url)).send_json(body).unwrap();
    let answer: Value = answer.body_mut().read_json().unwrap();
    let token = answer["token"].as_str().unwrap();
    assert_eq!(server.status(token), 200);
    assert_eq!(server.status(&token[..50]), 401);
    assert_eq!(server.signal("-TERM"), Some(0));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("TRACE"));
    for secret in [&token[3..40], "correct horse", "$2b$", "Bearer "] {
        assert!(!log.contains(secret), "{secret}");
    }
}

/// Starts a server with these settings, whose log goes to a file.
fn serve_logged(place: &Place, log: &str, settings: &[&str]) -> Serving {
    let mut command = place.command(&[&["serve", "--listen", "127.0.0.1:0"], settings].concat());
    command.stderr(fs::File::create(place.path().join(log)).unwrap());
    command.env_remove("BEARERD_LOG");
    Serving::start(command)
}

fn malformed_requests(server: &Serving) -> u64 {
    let mut answer = ureq::get(format!("{}/metrics", server.url)).call().unwrap();
    let metrics = answer.body_mut().read_to_string().unwrap();
    let line =
        metrics.lines().find_map(|line| line.strip_prefix("bearerd_malformed_requests_total "));
    line.unwrap().parse().unwrap()
}

const MALFORMED: [&[u8]; 6] = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET / HTTP/1.1\r\nBad Header: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: \x01\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
];

#[test]
fn malformed_requests_are_counted_and_logged_with_the_sender_once_a_second() {
    let place = Place::new();
    let mut server = serve_logged(&place, "log", &[]);
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let start = std::time::Instant::now();
    let mut senders = Vec::new();
    for request in MALFORMED.iter().cycle().take(600) {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        senders.push(stream.local_addr().unwrap().to_string());
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    }
    // And one at the end.
    let most = start.elapsed().as_secs() + 2;
    assert_eq!(malformed_requests(&server), 600);
    server.signal("-TERM");
    let log = fs::read_to_string(place.path().join("log")).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("parse error")).collect();
    assert!((1..=most).contains(&(lines.len() as u64)), "{log}");
    assert!(lines[0].contains(&format!("(from {})", senders[0])), "{log}");
}

#[test]
fn malformed_requests_are_counted_even_if_the_log_is_off() {
    let place = Place::new();
    let server = serve_logged(&place, "log", &["--log", "off"]);
    let mut stream = std::net::TcpStream::connect(&server.url["http://".len()..]).unwrap();
    stream.write_all(MALFORMED[0]).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(malformed_requests(&server), 1);
    assert_eq!(fs::read_to_string(place.path().join("log")).unwrap(), "");
}

#[test]
fn signals_shut_the_server_down_cleanly() {
    for signal in ["-TERM", "-INT", "-QUIT"] {
        let place = Place::new();
        place.create_ada();
        let mut server = place.serve();
        let token = place.issue();
        assert_eq!(server.status(&token), 200);
        assert_eq!(server.signal(signal), Some(0));
        let rows: Value = serde_json::from_str(&place.print(&["token", "list", "--json"])).unwrap();
        assert!(rows[0]["last_used_at"].is_string(), "{rows}");
    }
}

#[test]
fn signals_that_ask_for_nothing_do_not_end_the_server() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let mut server = serve_logged(&place, "log", &[]);
    let id = server.child.id().to_string();
    let signals = ["XFSZ", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "HUP", "PIPE"];
    for signal in signals {
        let signal = format!("-{signal}");
        assert!(Command::new("kill").args([&signal, &id]).status().unwrap().success());
        assert_eq!(server.status(&token), 200, "{signal}");
    }
    assert_eq!(server.signal("-TERM"), Some(0));
    let log = fs::read_to_string(place.path().join("log")).unwrap();
    for signal in signals {
        let line = if signal == "HUP" { "no certificate" } else { &format!("SIG{signal}") };
        // A line about SIGPIPE would raise it again if standard error is a closed pipe.
        assert_eq!(log.contains(line), signal != "PIPE", "{line}: {log}");
    }
}

/// A command line that may write no file longer than this number of blocks of 512 bytes.
fn limited(place: &Place, blocks: u32, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let limited = format!("ulimit -f {blocks} && exec \"$0\" \"$@\"");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_bearerd")]).args(arguments);
    command.current_dir(place.path()).env("BEARERD_BCRYPT_COST", "4").env("BEARERD_LOG", "error");
    command
}

#[test]
fn a_write_beyond_the_limit_on_file_sizes_fails_a_command_with_an_explanation() {
    let place = Place::new();
    place.create_ada();
    let output = limited(&place, 100, &["backup", "copy.sqlite"]).output().unwrap();
    let log = crate::support::stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{:?} {log}", output.status);
    assert!(log.contains("can't back up to copy.sqlite"), "{log}");
    assert!(log.contains("the limit of this process (see ulimit -f)"), "{log}");
    assert_eq!(place.file_names(), ["bearerd.sqlite"], "nothing is left behind");
}

#[test]
fn a_write_beyond_the_limit_on_file_sizes_does_not_end_the_server() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let mut command = limited(&place, 1000, &["serve", "--listen", "127.0.0.1:0"]);
    command.env("BEARERD_LOG", "warn");
    command.stderr(fs::File::create(place.path().join("log")).unwrap());
    let mut server = Serving::start(command);
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let log_in = || {
        let device = "x".repeat(200);
        let body =
            json!({"email": "ada@example.org", "password": "correct horse", "device_name": device});
        agent.post(format!("{}/api/tokens", server.url)).send_json(body).unwrap().status().as_u16()
    };
    let refused = (0..1000).map(|_| log_in()).find(|status| *status != 201);
    assert_eq!(refused, Some(503));
    assert_eq!(server.status(&token), 200);
    server.signal("-TERM");
    let log = fs::read_to_string(place.path().join("log")).unwrap();
    assert!(log.contains("SIGXFSZ: a file was not written"), "{log}");
}

#[test]
fn a_running_request_is_finished_at_shutdown() {
    let place = Place::new();
    place.create_ada();
    let mut server = place.serve();
    let body = r#"{"email":"ada@example.org","password":"correct horse","device_name":"x"}"#;
    let (first, rest) = body.split_at(20);
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /api/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server sends this once the handler reads the body.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    stream.write_all(first.as_bytes()).unwrap();
    let id = server.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 201 Created"), "{answer}");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_demo_shows_its_user_and_leaves_no_file() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--demo", "--listen", "127.0.0.1:0"]);
    command.env("TMPDIR", place.path());
    let mut server = Serving::start(command);
    let page = ureq::get(&server.url).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(page.contains(r#"<meta name="bearerd-demo-email" content="demo@example.org">"#));
    assert_eq!(server.signal("-TERM"), Some(0));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}
