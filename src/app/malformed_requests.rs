//! Tells the log which records report a malformed request, and which client sent it. The HTTP library
//! answers malformed requests itself, and its log records don't name the client.
//!
//! Each connection is served by one task, which never moves to another thread. So a thread-local map from
//! tasks to peers is enough.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use log::{Level, Metadata};
use tokio::task::{Id, try_id};

thread_local! {
    static PEERS: RefCell<HashMap<Id, SocketAddr>> = RefCell::default();
}

/// The client's address, if the calling task serves a connection.
pub fn peer() -> Option<SocketAddr> {
    let task = try_id()?;
    PEERS.try_with(|peers| peers.try_borrow().ok()?.get(&task).copied()).ok()?
}

/// Whether a log record reports a request that could not be parsed.
pub fn is_malformed_request(metadata: &Metadata<'_>) -> bool {
    metadata.level() == Level::Error && metadata.target().starts_with("actix_http::h1")
}

/// Remembers the peer of a new connection until the connection's data is dropped.
pub(super) fn remember_peer(connection: &dyn Any, data: &mut Extensions) {
    let plain = || connection.downcast_ref::<TcpStream>();
    let tls = || connection.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0);
    let Some(peer) = plain().or_else(tls).and_then(|stream| stream.peer_addr().ok()) else {
        return;
    };
    if let Some(task) = try_id() {
        PEERS.with_borrow_mut(|peers| peers.insert(task, peer));
        data.insert(Connection(task));
    }
}

/// An open connection. Its drop forgets the peer.
struct Connection(Id);

impl Drop for Connection {
    fn drop(&mut self) {
        let _ =
            PEERS.try_with(|peers| peers.try_borrow_mut().map(|mut peers| peers.remove(&self.0)));
    }
}
