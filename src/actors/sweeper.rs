//! The token sweeper: deletes tokens that have been dead for longer than `retention`.

use std::time::Duration;

use actix::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::domain::{Clock, Lifetime};
use crate::store::{Purge, Purged, Store, StoreError};

/// The handle of the token sweeper. Clones share it.
#[derive(Clone)]
pub struct Sweeper {
    address: Addr<Worker>,
    stop: CancellationToken,
}

/// When the sweeper runs, and what it deletes.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The time between the end of one sweep and the start of the next.
    pub interval: Duration,
    /// How long the row of a dead token is kept.
    pub retention: Duration,
    /// How long tokens live.
    pub ttl: Lifetime,
}

impl Sweeper {
    /// Starts the sweeper on the current arbiter. Its first sweep begins at once.
    pub fn start(store: Store, schedule: Schedule, clock: Clock) -> Self {
        let stop = CancellationToken::new();
        let ending = stop.clone();
        let address =
            Supervisor::start(move |_| Worker { store, schedule, clock, next: None, stop: ending });
        Self { address, stop }
    }

    /// Ends the current sweep after its current chunk. Sweeps that wait, and later ones, are refused.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Runs a sweep, after the current one, and returns what it deleted.
    ///
    /// # Errors
    /// [`StoreError`] of the chunk that failed; those before it stay deleted.
    /// [`StoreError::Unavailable`] if the sweeper is stopped before the sweep ends.
    pub async fn sweep(&self) -> Result<Purged, StoreError> {
        let answer = self.address.send(Sweep { counts: true }).await;
        answer.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
    }
}

struct Worker {
    store: Store,
    schedule: Schedule,
    clock: Clock,
    /// The next scheduled sweep.
    next: Option<SpawnHandle>,
    stop: CancellationToken,
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // A start reads no whole table.
        context.notify(Sweep { counts: false });
    }
}

impl Supervised for Worker {}

#[derive(Message)]
#[rtype(result = "Result<Purged, StoreError>")]
struct Sweep {
    /// Whether it counts the tokens that are live afterwards.
    counts: bool,
}

impl Handler<Sweep> for Worker {
    /// Atomic: one pass at a time.
    type Result = AtomicResponse<Self, Result<Purged, StoreError>>;

    fn handle(&mut self, Sweep { counts }: Sweep, context: &mut Self::Context) -> Self::Result {
        if let Some(next) = self.next.take() {
            context.cancel_future(next);
        }
        let Schedule { retention, ttl, .. } = self.schedule;
        let now = (self.clock)();
        let store = self.store.clone();
        let purge = Purge::of(retention, ttl, now);
        let stop = self.stop.clone();
        let pass = async move {
            let pass = async {
                let result = store.purge(purge).await;
                if counts && let Err(error) = store.measure_live_tokens(ttl, now).await {
                    log::warn!("the metric of live tokens is not up to date: {error}");
                }
                result
            };
            // Dropped, a purge ends between two chunks.
            stop.run_until_cancelled(pass).await
        };
        AtomicResponse::new(Box::pin(pass.into_actor(self).map(|result, worker, context| {
            let Some(result) = result else {
                // No further pass is scheduled.
                return Err(StoreError::Unavailable("the sweeper has been stopped".to_owned()));
            };
            match &result {
                Ok(purged) if purged.total() == 0 => log::debug!("no dead token to sweep away"),
                Ok(Purged { revoked, expired }) => {
                    log::info!("swept away {revoked} revoked and {expired} expired tokens");
                }
                Err(error) => log::warn!("the sweep goes on at the next pass: {error}"),
            }
            let next = Sweep { counts: true };
            worker.next = Some(context.notify_later(next, worker.schedule.interval));
            result
        })))
    }
}
