//! Tells the log which records report a malformed request, and which client sent it. The HTTP library
//! answers malformed requests itself, and its log records don't name the client.
//!
//! Each connection is served by one task, which never moves to another thread. So a thread-local map from
//! tasks to peers is enough.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;

use actix_web::dev::Extensions;
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

/// Remembers the peer of a new connection, which the calling task serves, until the connection's data is
/// dropped.
pub(super) fn remember_peer(peer: SocketAddr, data: &mut Extensions) {
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
