//! The server's connections, and the limits of each. They apply to clients before any token is checked, so
//! that nobody can use up memory, processor time or descriptors by reading slowly, sending slowly, sending
//! too much, or opening too many connections.
//!
//! The HTTP library has few such limits. It serves any stream of bytes, however, so each connection is wrapped
//! in a [`Stream`](stream::Stream), which holds the limits on bytes. A [watcher](watcher) around the
//! application reports the requests. Both write the connection's [record](record), and the
//! [registry](registry) closes the connections that its sweep finds too slow.

mod descriptors;
mod framing;
mod listener;
mod record;
mod registry;
mod stream;
mod watcher;

use std::time::Duration;

pub use descriptors::TooFewDescriptors;
pub(super) use descriptors::fit;
pub(super) use listener::{Listening, Options, bind, serve};

/// The number of closing connections that is always allowed, beside the open ones.
const CLOSING: usize = 64;

/// The limits of connections.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct Limits {
    /// How many may be open.
    pub connections: usize,
    /// How many may be open from one network that is not a trusted proxy.
    pub connections_of_a_network: usize,
    /// How long the head of a request may take, and the handshake of TLS.
    pub head: Duration,
    /// The time over which the least rate of a body is measured.
    pub stall: Duration,
    /// The same during a shutdown.
    pub stall_at_shutdown: Duration,
    /// The least rate of bodies in both directions, in bytes a second.
    pub rate: u32,
    /// How long a connection may be idle. It is longer than in reverse proxies (nginx: 60 s), so that the
    /// proxy closes the connection first and never sends a request on a closed one.
    pub idle: Duration,
    /// The maximum number of bytes that a client may send between two requests, beyond what handlers get of bodies. The HTTP library answers
    /// heads of more than 128 KiB itself.
    pub unanswered: u32,
    /// The same for HTTP/2, whose heads may be as long as this.
    pub unanswered_http2: u32,
    /// How many requests may be open on a connection of HTTP/2.
    pub streams: u32,
    /// The time between two sweeps.
    pub sweep: Duration,
}

impl Limits {
    /// The limits of a server that may have this many connections.
    pub fn new(connections: usize) -> Self {
        Self {
            connections,
            connections_of_a_network: share(connections),
            head: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            stall_at_shutdown: Duration::from_secs(1),
            rate: 500,
            idle: Duration::from_secs(75),
            unanswered: 144 * 1024,
            unanswered_http2: 72 * 1024,
            streams: 64,
            sweep: Duration::from_millis(250),
        }
    }

    /// Lowers the number of connections to what the operating system allows.
    pub(super) fn fit(&mut self, connections: usize) {
        if connections < self.connections {
            self.connections = connections;
            self.connections_of_a_network = self.connections_of_a_network.min(share(connections));
        }
    }

    /// The maximum number of connections that were told to close but still hold a descriptor. A flood leaves
    /// many of them, because each closes only when its task runs.
    fn closing(&self) -> usize {
        self.connections.max(CLOSING)
    }
}

/// How many connections one network may have. With half of them, it can't take them all.
fn share(connections: usize) -> usize {
    connections.div_ceil(2)
}
