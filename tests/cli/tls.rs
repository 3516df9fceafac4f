//! HTTPS, and SIGHUP, which reloads the certificate.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::support::{Place, Serving, refusal, stderr};

/// Writes a new certificate for 127.0.0.1 and its key. Returns the certificate.
fn write_certificate(place: &Place) -> String {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(place.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(place.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

/// Whether a client that trusts only this certificate gets an answer.
fn is_answered(server: &Serving, cert: &str) -> bool {
    use ureq::tls::{Certificate, RootCerts, TlsConfig};
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(cert.as_bytes()).unwrap()]);
    let tls = TlsConfig::builder().root_certs(roots).build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    agent.get(format!("{}/healthz", server.url)).call().is_ok()
}

/// Starts a server. Also returns the lines of its log.
fn start_logging(mut command: Command) -> (Serving, Receiver<String>) {
    command.stderr(Stdio::piped());
    let mut server = Serving::start(command);
    let log = BufReader::new(server.child.stderr.take().unwrap());
    let (line, lines) = mpsc::channel();
    // The thread ends with the server.
    std::thread::spawn(move || {
        log.lines().map_while(Result::ok).try_for_each(|text| line.send(text))
    });
    (server, lines)
}

/// Sends SIGHUP to the server, and waits until its log contains `expected`.
fn send_sighup(server: &Serving, log: &Receiver<String>, expected: &str) {
    let id = server.child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    while !log.recv_timeout(Duration::from_secs(10)).unwrap().contains(expected) {}
}

const TLS: [&str; 4] = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--log", "info"];

#[test]
fn sighup_loads_a_new_certificate_and_keeps_the_old_one_if_a_file_is_wrong() {
    let place = Place::new();
    let first = write_certificate(&place);
    let (mut server, log) = start_logging(place.command(&[&SERVE[..], &TLS].concat()));
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    assert!(is_answered(&server, &first));

    let second = write_certificate(&place);
    assert!(is_answered(&server, &first), "before SIGHUP");
    send_sighup(&server, &log, "certificate reloaded");
    assert!(is_answered(&server, &second) && !is_answered(&server, &first));

    fs::write(place.path().join("key.pem"), "half a ke").unwrap();
    send_sighup(
        &server,
        &log,
        "the old one stays: key.pem holds no unencrypted private key in PEM",
    );
    assert!(is_answered(&server, &second));
    assert_eq!(server.signal("-TERM"), Some(0));
}

#[test]
fn a_malformed_request_over_https_is_logged_with_its_sender() {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    let place = Place::new();
    let cert = write_certificate(&place);
    let (server, log) = start_logging(place.command(&[&SERVE[..], &TLS].concat()));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut client = rustls::ClientConnection::new(config.into(), name).unwrap();
    let mut stream = std::net::TcpStream::connect(&server.url["https://".len()..]).unwrap();
    let sender = stream.local_addr().unwrap();
    rustls::Stream::new(&mut client, &mut stream).write_all(b"no HTTP\r\n\r\n").unwrap();
    let expected = format!("(from {sender})");
    while !log.recv_timeout(Duration::from_secs(10)).unwrap().contains(&expected) {}
}

#[test]
fn sighup_does_not_end_a_server_without_https() {
    let place = Place::new();
    place.create_ada();
    let token = place.issue();
    let (server, log) = start_logging(place.command(&SERVE));
    send_sighup(&server, &log, "no certificate to reload");
    assert_eq!(server.status(&token), 200);
}

#[test]
fn an_unusable_certificate_is_reported_in_one_line() {
    let place = Place::new();
    let path = |name: &str| place.path().join(name);
    write_certificate(&place);
    fs::rename(path("key.pem"), path("other.pem")).unwrap();
    write_certificate(&place);
    fs::write(path("empty.pem"), "").unwrap();
    fs::write(path("torn.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n").unwrap();
    for (cert, key, text) in [
        ("none.pem", "key.pem", "can't read none.pem: No such file"),
        ("cert.pem", "none.pem", "can't read none.pem: No such file"),
        ("empty.pem", "key.pem", "empty.pem holds no certificate"),
        ("key.pem", "key.pem", "key.pem holds no certificate"),
        ("torn.pem", "key.pem", "torn.pem is not a PEM file"),
        ("cert.pem", "cert.pem", "cert.pem holds no unencrypted private key"),
        ("cert.pem", "other.pem", "the key in other.pem can't be used with the certificate in"),
    ] {
        let tls = ["--tls-cert", cert, "--tls-key", key];
        let message = refusal(&mut place.command(&[&SERVE[..], &tls].concat()));
        assert!(message.contains(text), "{cert}, {key}: {message}");
        assert!(!path("bearerd.sqlite").exists());
    }
    let half = place.run(&[&SERVE[..], &TLS[..2]].concat());
    assert_eq!(half.status.code(), Some(2));
    let named = "--tls-cert on the command line is set without tls_key";
    assert!(stderr(&half).contains(named), "{}", stderr(&half));
}

#[test]
fn a_private_key_that_lost_its_line_breaks_is_not_shown() {
    let place = Place::new();
    write_certificate(&place);
    let key = place.path().join("key.pem");
    let text = fs::read_to_string(&key).unwrap();
    fs::write(&key, text.replace('\n', "")).unwrap();
    let message = refusal(&mut place.command(&[&SERVE[..], &TLS].concat()));
    let expected = "key.pem is not a PEM file: the first or last line of a section is damaged";
    assert_eq!(message.trim_end(), format!("bearerd: {expected}"));
}

#[test]
fn the_server_warns_if_it_listens_beyond_loopback_without_https() {
    let place = Place::new();
    write_certificate(&place);
    for (address, tls, warns) in
        [("0.0.0.0:0", &[][..], true), ("0.0.0.0:0", &TLS, false), ("127.0.0.1:0", &[], false)]
    {
        let serve = ["serve", "--log", "warn", "--listen", address];
        let log = place.path().join("log");
        let mut command = place.command(&[&serve, tls].concat());
        command.stderr(fs::File::create(&log).unwrap());
        // A shutdown writes what is left of the log.
        Serving::start(command).signal("-TERM");
        let log = fs::read_to_string(log).unwrap();
        assert_eq!(log.contains("without HTTPS"), warns, "{address} {tls:?}: {log}");
    }
}
