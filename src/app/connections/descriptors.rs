//! The process's limit of descriptors, of which each connection needs one.

use super::CLOSING;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but connections: standard streams, the database, signals, and the event queues
/// of the runtime's threads.
fn reserved() -> usize {
    40 + 8 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// The fewest connections with which a server is of use.
const FEWEST: usize = 16;

/// There are too few descriptors.
#[derive(Debug, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, but the server needs at least {needed}; raise it, for example \
     with ulimit -n or LimitNOFILE"
)]
pub struct TooFewDescriptors {
    limit: usize,
    needed: usize,
}

/// Raises the limit of descriptors as far as allowed. Returns how many connections fit, at most `wanted`.
///
/// # Errors
/// [`TooFewDescriptors`] if a server can't work.
pub(in crate::app) fn fit(wanted: usize) -> Result<usize, TooFewDescriptors> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::debug!("can't raise the limit of open files: {error}");
    }
    let current = getrlimit(Resource::Nofile).current;
    let limit = current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let needed = reserved() + FEWEST + CLOSING;
    if limit < needed {
        return Err(TooFewDescriptors { limit, needed });
    }
    // Connections that are being closed need a descriptor too.
    let available = limit - reserved();
    let fitting = (available - CLOSING).min(available / 2);
    if fitting < wanted {
        log::warn!(
            "max_connections is {wanted}, but the limit of open files is {limit}: at most {fitting} \
             connections are possible"
        );
    }
    Ok(wanted.min(fitting))
}
