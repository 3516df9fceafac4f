//! The limits of a connection. Each test has limits so short that it reaches them soon.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bearerd::app::Limits;
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::{EMAIL, PASSWORD, Server, start_with_limits};
use crate::tls;

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
/// A page of more than a megabyte.
const GET_LARGE: &str = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n";

/// Starts a server that sweeps often.
fn start(change: impl FnOnce(&mut Limits)) -> Server {
    start_with_limits(|_, limits| {
        limits.sweep = Duration::from_millis(10);
        change(limits);
    })
}

const SHORT: Duration = Duration::from_millis(200);

/// Connects from a loopback address that ends with this number, with a small buffer for what it receives.
fn connect_from(server: &Server, last: u8) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into()).unwrap();
    socket.connect(&server.address.into()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.into()
}

fn connect(server: &Server) -> TcpStream {
    connect_from(server, 1)
}

/// Reads one answer that has a length. Returns its status and its body.
fn read_answer(stream: &mut impl Read) -> (u16, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    (status, body)
}

/// Whether the connection still answers.
fn is_served(stream: &mut TcpStream) -> bool {
    let mut first = [0];
    let sent = stream.write_all(GET.as_bytes()).is_ok();
    if !sent || !matches!(stream.read(&mut first), Ok(1)) {
        return false;
    }
    read_answer(&mut first.chain(stream)).0 == 200
}

/// Waits until the server has closed the connection. Returns what it sent before.
fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    if let Err(error) = stream.read_to_end(&mut read) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    read
}

fn wait_until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until this many connections were closed for a reason.
fn wait_for_closed(server: &Server, reason: &str, count: u64) {
    let metric = format!("bearerd_connections_closed_total{{reason=\"{reason}\"}}");
    wait_until(|| server.metric(&metric) >= count);
}

#[test]
fn a_client_that_pipelines_and_never_reads_is_closed() {
    let server = start(|limits| limits.stall = SHORT);
    let mut stream = connect(&server);
    stream.set_nonblocking(true).unwrap();
    let requests = "GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(5000);
    let _ = stream.write(requests.as_bytes());
    wait_for_closed(&server, "slow_reader", 1);
    stream.set_nonblocking(false).unwrap();
    read_to_close(&mut stream);
}

#[test]
fn a_client_that_stops_reading_a_large_page_is_closed() {
    let server = start(|limits| limits.stall = SHORT);
    let mut stream = connect(&server);
    stream.write_all(GET_LARGE.as_bytes()).unwrap();
    wait_for_closed(&server, "slow_reader", 1);
    assert!(read_to_close(&mut stream).len() < 500_000, "the kernel holds no more");
}

#[test]
fn a_client_that_reads_a_byte_at_a_time_is_closed_and_a_faster_one_gets_all() {
    let server = start(|limits| limits.stall = SHORT);
    let (mut slow, mut fast) = (connect(&server), connect(&server));
    for stream in [&mut slow, &mut fast] {
        stream.write_all(GET_LARGE.as_bytes()).unwrap();
    }
    let (status, body) = read_answer(&mut fast);
    assert!(status == 200 && body.len() > 1_000_000);
    let closed = "bearerd_connections_closed_total{reason=\"slow_reader\"}";
    wait_until(|| {
        slow.peek(&mut [0]).unwrap();
        (&slow).read_exact(&mut [0]).unwrap();
        server.metric(closed) == 1
    });
    assert!(is_served(&mut fast));
}

#[test]
fn each_head_has_a_time_limit() {
    let server = start(|limits| limits.head = SHORT);
    let mut silent = connect(&server);
    let mut first = connect(&server);
    first.write_all(b"GET / HT").unwrap();
    let mut second = connect(&server);
    assert!(is_served(&mut second));
    second.write_all(b"GET / HT").unwrap();
    let mut idle = connect(&server);
    assert!(is_served(&mut idle));
    // A blank line after a request begins no head.
    idle.write_all(b"\r\n").unwrap();
    for stream in [&mut silent, &mut first, &mut second] {
        read_to_close(stream);
    }
    wait_for_closed(&server, "slow_head", 3);
    assert!(is_served(&mut idle));
}

#[test]
fn an_idle_connection_is_closed() {
    let server = start(|limits| limits.idle = SHORT);
    let mut stream = connect(&server);
    assert!(is_served(&mut stream));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "an orderly end");
    wait_for_closed(&server, "idle", 1);
}

#[test]
fn a_body_that_a_handler_waits_for_has_a_least_rate() {
    let server = start(|limits| limits.stall = SHORT);
    let mut stream = connect(&server);
    let head = "POST /api/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Content-Length: 1000\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut stream).0, 400);
    read_to_close(&mut stream);
    wait_for_closed(&server, "slow_body", 1);
}

#[test]
fn an_endless_body_that_nothing_reads_is_cut() {
    let server = start(|_| ());
    let mut stream = connect(&server);
    let head = "POST /api/nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(16);
    let sent = (0..1000).take_while(|_| stream.write_all(chunk.as_bytes()).is_ok()).count();
    assert!(sent < 1000, "64 MiB were taken");
    wait_for_closed(&server, "flood", 1);
}

/// Sends until the server closes the connection. Returns how many times `piece` was taken.
fn pour(server: &Server, start: &str, piece: &[u8]) -> usize {
    let mut stream = connect(server);
    stream.write_all(start.as_bytes()).unwrap();
    (0..1000).take_while(|_| stream.write_all(piece).is_ok()).count()
}

#[test]
fn endless_input_that_no_handler_gets_is_cut_also_while_it_waits_for_a_body() {
    let server = start(|_| ());
    let chunked = "POST /api/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                   Transfer-Encoding: chunked\r\n\r\n1;";
    assert!(pour(&server, chunked, &[b'a'; 64 * 1024]) < 1000, "the extension of a chunk");
    let chunk = [b"1;", vec![b'a'; 4096].as_slice(), b"\r\n \r\n"].concat();
    assert!(
        pour(&server, chunked.trim_end_matches("1;"), &chunk.repeat(16)) < 1000,
        "short chunks"
    );
    assert!(pour(&server, "", &[b'\n'; 64 * 1024]) < 1000, "blank lines");
    wait_for_closed(&server, "flood", 3);
}

#[test]
fn a_tls_handshake_has_a_time_limit_and_gives_its_place_back() {
    let (server, cert) = tls::start_with_tls_and_limits(false, |limits| {
        (limits.head, limits.sweep) = (SHORT, Duration::from_millis(10));
        (limits.connections, limits.connections_of_a_network) = (2, 2);
    });
    let mut stalled: Vec<_> = (0..2).map(|_| connect(&server)).collect();
    for stream in &mut stalled {
        stream.write_all(&[22, 3, 1]).unwrap();
        read_to_close(stream);
    }
    let mut client = tls::connect(&server, &cert, &[]);
    client.write_all(GET.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut client).0, 200);
}

#[test]
fn a_new_connection_displaces_idle_ones_then_heads() {
    let server = start(|limits| (limits.connections, limits.connections_of_a_network) = (3, 3));
    let [mut first, mut second, mut head] = [2, 2, 2].map(|last| connect_from(&server, last));
    for stream in [&mut first, &mut second, &mut head] {
        assert!(is_served(stream));
    }
    head.write_all(b"GET / HT").unwrap();
    let mut new = Vec::new();
    // From another network, and from the same.
    for last in [3, 2] {
        new.push(connect_from(&server, last));
        assert!(is_served(new.last_mut().unwrap()));
        if last == 2 {
            head.write_all(b"TP/1.1\r\nHost: x\r\n\r\n").unwrap();
            assert_eq!(read_answer(&mut head).0, 200, "it was not idle");
        }
    }
    read_to_close(&mut first);
    read_to_close(&mut second);
}

#[test]
fn a_network_cannot_keep_another_out() {
    let server = start(|limits| (limits.connections, limits.connections_of_a_network) = (6, 3));
    let begin = |last| {
        let mut stream = connect_from(&server, last);
        let _ = stream.write_all(b"GET / HT");
        stream
    };
    let _heads: Vec<_> = [2, 3].into_iter().flat_map(|last| [last; 10]).map(begin).collect();
    let body = "POST /api/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Content-Length: 9\r\n\r\n";
    let wait = |last| {
        let mut stream = connect_from(&server, last);
        let _ = stream.write_all(body.as_bytes());
        stream
    };
    let _bodies: Vec<_> = [2, 3].into_iter().flat_map(|last| [last; 10]).map(wait).collect();
    for _ in 0..20 {
        assert!(is_served(&mut connect_from(&server, 4)));
    }
}

#[test]
fn the_only_connection_of_a_network_is_not_displaced_while_it_sends_a_body() {
    let server = start(|limits| (limits.connections, limits.connections_of_a_network) = (1, 1));
    let body = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x"}).to_string();
    let (start, end) = body.split_at(9);
    let head = format!(
        "POST /api/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    let mut stream = connect_from(&server, 2);
    stream.write_all(head.as_bytes()).unwrap();
    // The handler waits once it has asked for the body.
    assert_eq!(read_answer(&mut stream).0, 100);
    stream.write_all(start.as_bytes()).unwrap();
    assert!(!is_served(&mut connect_from(&server, 3)));
    stream.write_all(end.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut stream).0, 201);
}

#[test]
fn a_trusted_proxy_may_have_more_connections_than_a_network() {
    let server = start_with_limits(|config, limits| {
        config.trusted_proxies = vec!["127.0.0.2/32".parse().unwrap()];
        limits.connections_of_a_network = 2;
    });
    let served = |last| {
        let mut streams: Vec<_> = (0..10).map(|_| connect_from(&server, last)).collect();
        for stream in &mut streams {
            is_served(stream);
        }
        streams.iter_mut().filter_map(|stream| is_served(stream).then_some(())).count()
    };
    assert_eq!((served(2), served(3)), (10, 2));
}

#[test]
fn pipelined_requests_and_bodies_with_empty_lines_are_answered_however_they_arrive() {
    let server = start(|_| ());
    let json = json!({"email": EMAIL, "password": PASSWORD, "device_name": "x"}).to_string();
    let json = json.replacen('{', "{\r\n\r\n\n\n", 1) + "\r\n\r\n";
    let head = "POST /api/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let sized = format!("{head}Content-Length: {}\r\n\r\n{json}", json.len());
    let chunks = json.as_bytes().chunks(5);
    let chunks = chunks.map(|part| format!("{:x}\r\n{}\r\n", part.len(), part.escape_ascii()));
    let chunks = chunks.collect::<String>().replace("\\r", "\r").replace("\\n", "\n");
    let chunks = chunks.replace("\\\"", "\"");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    let unread = "POST /api/nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                  4\r\n\r\n\r\n\r\n0\r\n\r\n";
    let input = [&GET.repeat(40), &sized, GET, &chunked, unread, "\r\n", GET, &sized].concat();
    let expected = [vec![200; 40], vec![201, 200, 201, 404, 200, 201]].concat();
    for size in [1, 7, 4096, input.len()] {
        let mut stream = connect(&server);
        stream.set_nodelay(true).unwrap();
        let mut writing = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            let parts = input.as_bytes().chunks(size);
            scope.spawn(move || parts.for_each(|part| writing.write_all(part).unwrap()));
            let statuses = expected.iter().map(|_| read_answer(&mut stream).0);
            assert_eq!(statuses.collect::<Vec<_>>(), expected, "in parts of {size} bytes");
        });
    }
}

#[test]
fn clients_that_do_not_read_do_not_hold_up_a_shutdown() {
    let mut server = start(|limits| limits.stall_at_shutdown = SHORT);
    let blocked: Vec<_> = (0..5)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(GET_LARGE.as_bytes()).unwrap();
            stream.peek(&mut [0]).unwrap();
            stream
        })
        .collect();
    let stopping = Instant::now();
    server.stop();
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
    drop(blocked);
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [head, payload.to_vec()].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[test]
fn more_than_64_requests_at_once_on_a_connection_of_http_2_get_503() {
    let (server, cert) = tls::start_with_tls_and_limits(true, |_| ());
    let mut client = tls::connect(&server, &cert, &["h2"]);
    // The window for each stream is 0, so no answer can end.
    let mut input = [PREFACE, &frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
    let path = b"/docs/swagger-ui-bundle.js";
    let block = [&[0x82, 0x87, 0x04, path.len() as u8], &path[..], &[0x01, 1, b'x']].concat();
    for request in 0..70 {
        input.extend(frame(1, 5, 2 * request + 1, &block));
    }
    client.write_all(&input).unwrap();
    let mut statuses = Vec::new();
    while statuses.len() < 70 {
        let mut head = [0; 9];
        client.read_exact(&mut head).unwrap();
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        client.read_exact(&mut payload).unwrap();
        if head[3] == 1 {
            // 200 is in HPACK's table. 503 is not, and is first sent as a text.
            statuses.push(payload[0] == 0x88);
        }
    }
    assert_eq!(statuses.iter().filter(|is_200| **is_200).count(), 64);
}

#[test]
fn a_connection_of_http_2_that_only_pings_is_idle() {
    let (server, cert) = tls::start_with_tls_and_limits(true, |limits| {
        (limits.idle, limits.sweep) = (SHORT, Duration::from_millis(10));
    });
    let mut client = tls::connect(&server, &cert, &["h2"]);
    client.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).unwrap();
    let ping = frame(6, 0, 0, &[0; 8]);
    let mut answer = [0; 17];
    let pause = Duration::from_millis(1);
    let pings = (0..4000).take_while(|_| {
        // So slow, and so few, that they are no flood.
        std::thread::sleep(pause);
        client.write_all(&ping).is_ok() && matches!(client.read(&mut answer), Ok(1..))
    });
    assert!(pings.count() < 4000);
}

#[test]
fn a_flood_of_pings_is_cut() {
    let (server, cert) = tls::start_with_tls_and_limits(true, |_| ());
    let mut client = tls::connect(&server, &cert, &["h2"]);
    client.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).unwrap();
    let pings = frame(6, 0, 0, &[0; 8]).repeat(100);
    let mut answers = vec![0; 4096];
    let sent = (0..1000).take_while(|_| {
        client.write_all(&pings).is_ok() && matches!(client.read(&mut answers), Ok(1..))
    });
    assert!(sent.count() < 200);
}
