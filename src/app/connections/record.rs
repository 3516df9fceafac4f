//! The state of one connection. Its task writes it, and the registry reads it to find out what the connection
//! waits for, and since when.
//!
//! All fields but the order to close have one writer, the task, so that a request costs neither a lock nor a look at the
//! clock. Only the order to close comes from elsewhere.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::task::Waker;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The next request.
    Idle,
    /// The rest of a request's head, or of the TLS handshake.
    #[default]
    Head,
    /// The rest of a body that a handler reads.
    Body,
    /// The client, which has to read an answer.
    Answer,
    /// A handler.
    Handler,
}

/// What a blank line between requests counts for, in bytes.
const BLANK_LINE: usize = 512;
/// How many bytes may carry one byte of a body.
const OVERHEAD: usize = 16;

/// The state of one connection.
pub(super) struct Record {
    /// Requests whose answer is not complete.
    open: AtomicU32,
    /// Answers whose body is not complete.
    answers: AtomicU32,
    /// Handlers that wait for more of a body.
    readers: AtomicU32,
    /// Whether nothing can be written before the client reads.
    blocked: AtomicBool,
    /// Whether a head or a handshake was begun. A new connection counts as one that has.
    head: AtomicBool,
    /// Changes at the start and at the end of each request.
    epoch: AtomicU32,
    received: AtomicU64,
    sent: AtomicU64,
    /// Bytes since the last request that no handler got.
    unanswered: AtomicU32,
    /// Whether a request had a chunked body.
    chunks: AtomicBool,
    closing: AtomicBool,
    waker: OnceLock<Waker>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            open: AtomicU32::default(),
            answers: AtomicU32::default(),
            readers: AtomicU32::default(),
            blocked: AtomicBool::default(),
            head: AtomicBool::new(true),
            epoch: AtomicU32::default(),
            received: AtomicU64::default(),
            sent: AtomicU64::default(),
            unanswered: AtomicU32::default(),
            chunks: AtomicBool::default(),
            closing: AtomicBool::default(),
            waker: OnceLock::new(),
        }
    }
}

/// Adds to a counter that only this task writes, which is cheaper than an atomic addition.
macro_rules! add {
    ($counter:expr, $amount:expr) => {
        $counter.store($counter.load(Relaxed).wrapping_add($amount), Relaxed)
    };
}

impl Record {
    /// Whether the connection is to be closed. From the first call on, the task is woken for it.
    pub(super) fn is_closing(&self, waker: &Waker) -> bool {
        // The task is always the same.
        self.waker.get_or_init(|| waker.clone());
        self.closing.load(SeqCst)
    }

    /// Orders the connection's task to close it. False if that was ordered before.
    pub(super) fn close(&self) -> bool {
        let is_first = !self.closing.swap(true, SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
        is_first
    }

    /// Begins a request, whose head is complete, and says whether its body is chunked. Returns how many are open.
    pub(super) fn begin(&self, chunked: bool) -> u32 {
        if chunked {
            self.chunks.store(true, Relaxed);
        }
        add!(self.open, 1);
        add!(self.epoch, 1);
        self.head.store(false, Relaxed);
        self.unanswered.store(0, Relaxed);
        self.open.load(Relaxed)
    }

    /// Ends a request, whose answer is complete.
    pub(super) fn end(&self) {
        add!(self.open, u32::MAX);
        add!(self.epoch, 1);
    }

    /// Notes that an answer's body begins, or that it ends.
    pub(super) fn answer(&self, begins: bool) {
        add!(self.answers, if begins { 1 } else { u32::MAX });
    }

    /// Notes that a handler starts or stops waiting for more of a body.
    pub(super) fn read_body(&self, begins: bool) {
        add!(self.readers, if begins { 1 } else { u32::MAX });
    }

    /// Whether a request had a chunked body.
    pub(super) fn had_chunks(&self) -> bool {
        self.chunks.load(Relaxed)
    }

    /// Whether input is of use now: for a handler that waits, or as the next request.
    pub(super) fn takes_input(&self) -> bool {
        self.open.load(Relaxed) == 0 || self.readers.load(Relaxed) > 0
    }

    /// Notes that bytes were received, and whether they can begin a head or are blank lines. Returns how many have come since the
    /// last request that no handler got. Blank lines between requests count for more, because the library
    /// parses them again with each further one.
    pub(super) fn receive(&self, bytes: usize, head: bool, blank: bool) -> u32 {
        add!(self.received, bytes as u64);
        let is_between = self.open.load(Relaxed) == 0;
        let cost = if blank && is_between { bytes.max(BLANK_LINE) } else { bytes };
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let unanswered = self.unanswered.load(Relaxed).saturating_add(cost);
        self.unanswered.store(unanswered, Relaxed);
        if head && self.readers.load(Relaxed) == 0 {
            self.head.store(true, Relaxed);
        }
        unanswered
    }

    /// Notes that a handler got bytes of a body. What carried them, such as the lengths of chunks, may be several
    /// times as long.
    pub(super) fn deliver(&self, bytes: usize) {
        let credit = u32::try_from(bytes.saturating_mul(OVERHEAD)).unwrap_or(u32::MAX);
        self.unanswered.store(self.unanswered.load(Relaxed).saturating_sub(credit), Relaxed);
    }

    /// Notes that the handshake, or the start of HTTP/2, is over.
    pub(super) fn greet(&self) {
        self.head.store(false, Relaxed);
    }

    /// Notes that bytes were sent.
    pub(super) fn send(&self, bytes: usize) {
        add!(self.sent, bytes as u64);
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Relaxed);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// What the connection waits for.
    pub(super) fn phase(&self) -> Phase {
        if self.is_blocked() || self.answers.load(Relaxed) > 0 {
            Phase::Answer
        } else if self.readers.load(Relaxed) > 0 {
            Phase::Body
        } else if self.open.load(Relaxed) > 0 {
            Phase::Handler
        } else if self.head.load(Relaxed) {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    /// A number that changes at the start and at the end of each request.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Relaxed)
    }

    /// Bytes that were received and sent.
    pub(super) fn traffic(&self) -> (u64, u64) {
        (self.received.load(Relaxed), self.sent.load(Relaxed))
    }
}
