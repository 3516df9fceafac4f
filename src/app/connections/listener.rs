//! Listens, accepts connections and serves them. It replaces actix-web's `HttpServer`, which takes no wrapper
//! around a connection.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Protocol};
use actix_server::{Server, ServerHandle};
use actix_service::{ServiceFactoryExt as _, fn_service};
use actix_web::App;
use actix_web::rt::net::TcpStream;
use actix_web::rt::{spawn, task::JoinHandle, time};
use actix_web::web::ServiceConfig;
use rustls::ServerConfig;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::Limits;
use super::registry::{Registry, Ticket};
use super::stream::{Stream, Transport};
use super::watcher::{PIECE, watch};
use crate::app::malformed_requests::remember_peer;
use crate::config::TrustedProxies;
use crate::metrics::Metrics;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;
/// The maximum unsent bytes of an answer in the kernel (`TCP_NOTSENT_LOWAT`). Without it, the kernel takes
/// megabytes before a client that does not read is noticed.
const UNSENT: u32 = 16 * 1024;
/// How much of an answer TLS holds while the client does not read.
const TLS_BUFFER: usize = 4 * 1024;
/// What the kernel holds of a client's input. It takes twice as much.
const UNREAD: usize = 32 * 1024;
/// What a client of HTTP/2 may send before a handler reads it, for a request and for a connection.
const WINDOWS: [u32; 2] = [32 * 1024, 65_535];
/// How many requests of HTTP/2 may be open in all, beyond the first of each connection.
const EXTRA_STREAMS: usize = 1024;
/// More connections than a worker ever gets: the registry limits them.
const UNLIMITED: usize = 1 << 30;

/// How connections are served.
pub(in crate::app) struct Options {
    /// `None` serves without TLS.
    pub(in crate::app) tls: Option<ServerConfig>,
    pub(in crate::app) limits: Limits,
    pub(in crate::app) proxies: TrustedProxies,
    pub(in crate::app) metrics: Metrics,
    /// The seconds that requests in progress may take at a shutdown.
    pub(in crate::app) grace: u64,
}

/// A server that accepts connections.
pub(in crate::app) struct Listening {
    /// Ends with the server.
    pub(in crate::app) ended: JoinHandle<io::Result<()>>,
    handle: ServerHandle,
    registry: Arc<Registry>,
}

impl Listening {
    /// Stops the server. It finishes the requests in progress.
    pub(in crate::app) async fn stop(&self) {
        self.registry.stop();
        self.handle.stop(true).await;
    }
}

/// Binds a listener to an address.
///
/// # Errors
/// The operating system's.
pub(in crate::app) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // So that a restarted server can bind the address while old connections end.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // Connections inherit this. Otherwise the kernel holds megabytes of requests that are not read.
    socket.set_recv_buffer_size(UNREAD)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves an application on a listener. Its workers accept connections by the time this returns.
///
/// # Errors
/// The operating system's, if the workers can't start.
pub(in crate::app) async fn serve(
    listener: TcpListener,
    options: Options,
    routes: impl Fn(&mut ServiceConfig) + Send + Clone + 'static,
) -> io::Result<Listening> {
    let Options { tls, limits, proxies, metrics, grace } = options;
    let (streams, extra) = (limits.streams, Arc::new(Semaphore::new(EXTRA_STREAMS)));
    let registry = Registry::new(limits, proxies, metrics);
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let builder = Server::build()
        .disable_signals()
        .shutdown_timeout(grace)
        .max_concurrent_connections(UNLIMITED);
    let stopping = builder.graceful_shutdown_signal();
    let admitting = registry.clone();
    let builder = builder.listen("bearerd", listener, move || {
        let (registry, tls, stopping) = (admitting.clone(), tls.clone(), stopping.clone());
        let requests = HttpService::build()
            // The registry's sweep has the timeouts.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(Duration::from_secs(1))
            .h1_write_buffer_size(PIECE)
            .h2_initial_window_size(WINDOWS[0])
            .h2_initial_connection_window_size(WINDOWS[1])
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .on_connect_ext(|stream: &Stream, data| {
                remember_peer(stream.peer, data);
                data.insert(stream.ticket.record.clone());
            })
            .finish(watch(App::new().configure(&routes), streams, extra.clone()));
        fn_service(move |socket| accept(socket, registry.clone(), tls.clone())).and_then(requests)
    })?;
    let mut server = builder.run();
    let handle = server.handle();
    // The first poll starts the workers.
    poll_fn(|cx| match Pin::new(&mut server).poll(cx) {
        Poll::Pending => Poll::Ready(Ok(())),
        Poll::Ready(ended) => {
            Poll::Ready(ended.and(Err(io::Error::other("the server stopped by itself"))))
        }
    })
    .await?;
    spawn(sweep(Arc::downgrade(&registry)));
    Ok(Listening { ended: spawn(server), handle, registry })
}

/// Sweeps while the server runs.
async fn sweep(registry: Weak<Registry>) {
    while let Some(registry) = registry.upgrade() {
        registry.sweep();
        let period = registry.limits().sweep;
        drop(registry);
        time::sleep(period).await;
    }
}

/// Admits a connection, and lets it greet by TLS.
async fn accept(
    socket: TcpStream,
    registry: Arc<Registry>,
    tls: Option<TlsAcceptor>,
) -> Result<(Stream, Protocol, Option<SocketAddr>), DispatchError> {
    let peer = socket.peer_addr()?;
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let ticket = registry.admit(peer.ip()).ok_or_else(refused)?;
    drop(registry);
    // Otherwise the end of an answer waits for the client's acknowledgement of its start.
    socket.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT)?;
    let (transport, is_http2) = match tls {
        None => (Transport::Plain(socket), false),
        Some(tls) => {
            let stream = greet(socket, &ticket, &tls).await?;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            (Transport::Tls(Box::new(stream)), is_http2)
        }
    };
    let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
    Ok((Stream::new(transport, ticket, peer, is_http2), protocol, Some(peer)))
}

/// The handshake of TLS. Fails if the connection is to be closed.
async fn greet(
    socket: TcpStream,
    ticket: &Ticket,
    tls: &TlsAcceptor,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    let mut handshake =
        pin!(tls.accept_with(socket, |session| session.set_buffer_limit(Some(TLS_BUFFER))));
    poll_fn(|cx| {
        if ticket.record.is_closing(cx.waker()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        handshake.as_mut().poll(cx)
    })
    .await
}
