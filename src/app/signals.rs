//! The signals that a server handles. Each function needs a running actix system.

use std::task::Poll;

#[cfg(unix)]
use actix_web::rt::spawn;
#[cfg(unix)]
use futures_util::future::select_all;
use futures_util::stream::{self, Stream};
#[cfg(unix)]
use rustix::process::Signal;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};

#[cfg(unix)]
const FILE_LIMIT: &str = "SIGXFSZ: a file was not written, because it would exceed the limit of this process (ulimit -f)";

/// Ready at Ctrl-C, `SIGTERM` or `SIGQUIT`. They are caught from this call on, not only from the first poll,
/// so that an early signal is not lost.
pub fn shutdown_signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let signals =
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()].map(signal);
    async {
        #[cfg(unix)]
        {
            let caught = signals.into_iter().flatten();
            let waits = caught.map(|mut signal| Box::pin(async move { signal.recv().await }));
            let waits: Vec<_> = waits.collect();
            if !waits.is_empty() {
                select_all(waits).await;
                return;
            }
        }
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Catches and logs the signals that the server has no use for, but whose default action ends the process.
/// Rust's runtime ignores `SIGPIPE`; to log it would raise it again when standard error is a closed pipe.
/// A write beyond the limit on file sizes, which raises `SIGXFSZ`, then fails with an error.
pub fn survive_signals() {
    #[cfg(unix)]
    for (kind, text) in [
        (SignalKind::from_raw(Signal::XFSZ.as_raw()), FILE_LIMIT),
        (SignalKind::user_defined1(), "SIGUSR1 is ignored"),
        (SignalKind::user_defined2(), "SIGUSR2 is ignored"),
        (SignalKind::alarm(), "SIGALRM is ignored"),
        (SignalKind::from_raw(Signal::VTALARM.as_raw()), "SIGVTALRM is ignored"),
        (SignalKind::from_raw(Signal::PROF.as_raw()), "SIGPROF is ignored"),
        (SignalKind::io(), "SIGIO is ignored"),
    ] {
        let Ok(mut signal) = signal(kind) else { continue };
        spawn(async move {
            while signal.recv().await.is_some() {
                log::warn!("{text}");
            }
        });
    }
}

/// Yields an item at each `SIGHUP`. From this call on, `SIGHUP` no longer ends the process.
pub fn hangup_signals() -> impl Stream<Item = ()> {
    #[cfg(unix)]
    let mut hangups = signal(SignalKind::hangup()).ok();
    stream::poll_fn(move |_context| {
        #[cfg(unix)]
        if let Some(hangups) = &mut hangups {
            return hangups.poll_recv(_context);
        }
        Poll::Pending
    })
}
