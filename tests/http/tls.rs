use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use bearerd::app::Limits;

use crate::support::{Server, set_rules, start, start_with, start_with_limits};

/// Starts a server with a new certificate, with or without HTTP/2. Also returns the certificate.
fn start_with_tls(http2: bool) -> (Server, CertificateDer<'static>) {
    start_with_tls_and_limits(http2, |_| ())
}

pub fn start_with_tls_and_limits(
    http2: bool,
    change: impl FnOnce(&mut Limits),
) -> (Server, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let server = start_with_limits(|config, limits| {
        change(limits);
        let folder = config.database.parent().unwrap();
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (config.tls_cert, config.tls_key) = (Some(cert), Some(key));
        config.http2 = http2;
    });
    (server, made.cert.der().clone())
}

/// Connects a client that offers these protocols and trusts the certificate.
pub fn connect(
    server: &Server,
    cert: &CertificateDer<'static>,
    protocols: &[&str],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut stream = StreamOwned::new(client, stream);
    stream.conn.complete_io(&mut stream.sock).unwrap();
    stream
}

#[test]
fn every_answer_over_https_has_strict_transport_security() {
    let (server, cert) = start_with_tls(false);
    let token = server.issue(&["*"]);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    for (request, headers, status) in [
        ("GET /api/user", bearer.as_str(), 200),
        ("GET /api/user", "", 401),
        ("GET /api/user", "Authorization: Bearer x\r\n", 401),
        ("GET /api/nothing", "", 404),
        ("DELETE /healthz", "", 405),
        ("POST /api/tokens", "", 415),
        ("GET /", "", 200),
        ("GET /favicon", "", 404),
    ] {
        let mut stream = connect(&server, &cert, &["http/1.1"]);
        let head = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        let stay = "strict-transport-security: max-age=31536000\r\n";
        assert_eq!(answer.to_lowercase().matches(stay).count(), 1, "{request}: {answer}");
    }
}

#[test]
fn answers_over_http_have_no_strict_transport_security() {
    let server = start();
    for path in ["/", "/api/user", "/healthz"] {
        let answer = server.send("GET", path, &[("Origin", "https://app.example.org")], None);
        let added = ["strict-transport-security", "vary", "access-control-allow-origin"];
        assert!(added.iter().all(|name| answer.header(name).is_none()), "{:?}", answer.headers);
    }
}

#[test]
fn http_2_is_used_only_if_it_is_enabled_and_the_client_offers_it() {
    let spoken = |stream: &StreamOwned<ClientConnection, _>| {
        stream.conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned())
    };
    let (server, cert) = start_with_tls(false);
    let stream = connect(&server, &cert, &["h2", "http/1.1"]);
    assert_eq!(spoken(&stream).as_deref(), Some("http/1.1"));
    let (server, cert) = start_with_tls(true);
    assert_eq!(spoken(&connect(&server, &cert, &[])), None);
    assert_eq!(spoken(&connect(&server, &cert, &["http/1.1"])).as_deref(), Some("http/1.1"));
    let mut stream = connect(&server, &cert, &["h2", "http/1.1"]);
    assert_eq!(spoken(&stream).as_deref(), Some("h2"));

    let mut block = vec![0x82, 0x87, 0x04, 8];
    block.extend(b"/healthz");
    block.extend([0x01, 1, b'x']);
    assert_eq!(ask_by_http_2(&mut stream, &block), 0x88, "the answer's status is 200");
}

/// Sends one request with these header fields, encoded with HPACK. Returns the first byte of the header
/// fields of the answer.
fn ask_by_http_2(stream: &mut StreamOwned<ClientConnection, TcpStream>, block: &[u8]) -> u8 {
    // RFC 9113: the preface, empty SETTINGS, and HEADERS that end both themselves and stream 1.
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    request.extend([0, 0, block.len() as u8, 0x01, 0x05, 0, 0, 0, 1]);
    request.extend(block);
    stream.write_all(&request).unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).unwrap();
        if head[3] == 0x01 {
            return payload[0];
        }
    }
}

#[test]
fn over_http_2_verify_takes_the_host_from_authority() {
    let (server, cert) = start_with_tls(true);
    let rules = "[[rules]]\nhost = \"app.example.org\"\npublic = true\n";
    for (naming, path, fields) in [
        ("envoy", "/api/verify/x", &[][..]),
        (
            "x-original-uri",
            "/api/verify",
            &[("x-original-method", "GET"), ("x-original-uri", "/x")],
        ),
    ] {
        let server = start_with(|config| {
            (config.tls_cert, config.tls_key) =
                (server.config.tls_cert.clone(), server.config.tls_key.clone());
            config.http2 = true;
            config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
            set_rules(config, naming, rules);
        });
        for (authority, host, passes) in [
            (Some("app.example.org"), None, true),
            (Some("app.example.org:443"), None, true),
            (Some("app.example.org"), Some("app.example.org"), true),
            (Some("other.example.org"), None, false),
            (Some("app.example.org"), Some("other.example.org"), false),
            (Some("other.example.org"), Some("app.example.org"), false),
            (None, Some("app.example.org"), true),
            (None, None, false),
        ] {
            let mut block = vec![0x82, 0x87];
            let own = [(":path", Some(path)), (":authority", authority), ("host", host)];
            let own = own.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
            for (name, value) in own.chain(fields.iter().copied()) {
                block.extend([0, name.len() as u8]);
                block.extend(name.as_bytes());
                block.push(value.len() as u8);
                block.extend(value.as_bytes());
            }
            let mut stream = connect(&server, &cert, &["h2"]);
            let answer = ask_by_http_2(&mut stream, &block);
            assert_eq!(answer == 0x88, passes, "{naming} {authority:?} {host:?}");
        }
    }
}
