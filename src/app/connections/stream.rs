//! The stream of one connection, TCP or TLS, as the HTTP library sees it. It holds back what the library
//! would read without need, because the library has no limits of its own.
//!
//! - While the client does not read its answers, nothing is read from it. The library's HTTP/1 task would
//!   otherwise spin as soon as 128 KiB of input wait.
//! - A turn is the time between two flushes, and the library flushes each time that its task runs. HTTP/1 gets
//!   at most 4 KiB in a turn, and never a part of the next request: see [`Framing`].
//! - While a handler works and does not wait for a body, nothing is handed over.
//!
//! A task that was refused input must be woken when it can have some. After a flush, the stream does this.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::rt::net::TcpStream;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::framing::Framing;
use super::registry::Ticket;
use crate::metrics::CloseReason;

/// The most bytes that are read at once.
const TURN: usize = 4 * 1024;

/// A TCP connection, with or without TLS.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The stream of a connection.
pub(in crate::app) struct Stream {
    // Dropped before the ticket, so that a place is given back when the descriptor is.
    transport: Transport,
    pub(super) ticket: Ticket,
    pub(in crate::app) peer: SocketAddr,
    is_http2: bool,
    /// Input that is not handed over yet.
    ahead: Bytes,
    /// Whether the client sends no more.
    ended: bool,
    framing: Framing,
    /// Whether this turn's input was handed over.
    served: bool,
    /// Whether input was refused without a promise to wake the task.
    refused: bool,
}

impl Stream {
    pub(super) fn new(
        transport: Transport,
        ticket: Ticket,
        peer: SocketAddr,
        is_http2: bool,
    ) -> Self {
        Self {
            transport,
            ticket,
            peer,
            is_http2,
            ahead: Bytes::new(),
            ended: false,
            framing: Framing::default(),
            served: false,
            refused: false,
        }
    }

    /// Reads into `ahead`, if that is empty.
    fn read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.ahead.is_empty() || self.ended {
            return Poll::Ready(());
        }
        let mut space = [const { MaybeUninit::uninit() }; TURN];
        let mut input = ReadBuf::uninit(&mut space);
        let read = Pin::new(&mut self.transport).poll_read(cx, &mut input);
        read.map(|result| {
            // After an error there is no more input. Writing reports it.
            self.ended = result.is_err() || input.filled().is_empty();
            self.ahead = Bytes::copy_from_slice(input.filled());
        })
    }

    /// Hands over input of HTTP/1.
    fn hand_over(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<()> {
        let record = &self.ticket.record;
        if record.is_blocked() {
            self.refused = true;
            return Poll::Pending;
        }
        if self.served || !record.takes_input() {
            // This registers the waker, so that the task runs when the client sends or disconnects.
            if self.read_ahead(cx).is_ready() {
                self.refused = true;
                // A connection that the library only drains is not flushed, so `poll_flush` would never wake it.
                if self.ticket.record.takes_input() {
                    cx.waker().wake_by_ref();
                }
            }
            return Poll::Pending;
        }
        std::task::ready!(self.read_ahead(cx));
        let most = self.ahead.len().min(buf.remaining());
        let trusts_heads = !self.ticket.record.had_chunks();
        let part = self.ahead.split_to(self.framing.next_part(&self.ahead[..most], trusts_heads));
        buf.put_slice(&part);
        self.served = true;
        self.count(&part);
        Poll::Ready(())
    }

    /// Notes what was handed over.
    fn count(&self, part: &[u8]) {
        let is_blank = part.iter().all(|byte| b"\r\n".contains(byte));
        let (begins_head, is_blank) = (!self.is_http2 && !is_blank, !self.is_http2 && is_blank);
        let unanswered = self.ticket.record.receive(part.len(), begins_head, is_blank);
        let limits = self.ticket.limits();
        let most = if self.is_http2 { limits.unanswered_http2 } else { limits.unanswered };
        if unanswered > most {
            self.ticket.give_up(CloseReason::Flood);
        }
    }

    /// Records whether writing is blocked. If it is, on a connection that must close, returns an error, so that
    /// the task ends.
    fn note<T>(&self, cx: &Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let record = &self.ticket.record;
        record.set_blocked(written.is_pending());
        match written {
            Poll::Pending if record.is_closing(cx.waker()) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            written => written,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ticket.record.is_closing(cx.waker()) {
            return Poll::Ready(Ok(()));
        }
        if !this.is_http2 {
            return this.hand_over(cx, buf).map(Ok);
        }
        if this.ticket.record.is_blocked() {
            this.refused = true;
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.transport).poll_read(cx, buf);
        if read.is_ready() {
            this.ticket.record.greet();
            this.count(&buf.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.transport).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            this.ticket.record.send(*count);
        }
        this.note(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.transport).poll_flush(cx);
        let flushed = this.note(cx, flushed);
        this.served = false;
        // HTTP/2 has other input than requests, such as that the client has room for more of an answer.
        let takes_input = this.is_http2 || this.ticket.record.takes_input();
        if flushed.is_ready() && this.refused && takes_input {
            this.refused = false;
            cx.waker().wake_by_ref();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.transport).poll_shutdown(cx);
        this.note(cx, shut)
    }
}

/// Delegates to the variant's stream.
macro_rules! with {
    ($transport:expr, $stream:ident => $call:expr) => {
        match $transport.get_mut() {
            Transport::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Transport::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        with!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        with!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => stream.poll_shutdown(cx))
    }
}
