//! The token sweeper: removes tokens that have been dead for longer than they are kept.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::{Either, select};
use tokio::sync::Notify;

use crate::domain::{Clock, Lifetime};
use crate::store::{Purge, Purged, Store, StoreError};

/// The handle of the token sweeper. Clones share it.
#[derive(Clone)]
pub struct Sweeper {
    address: Addr<Worker>,
    stop: Arc<Notify>,
}

/// When the sweeper passes, and what it removes.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// How long it rests between the end of one pass and the next.
    pub interval: Duration,
    /// For how long a dead token's row is kept.
    pub retain: Duration,
    /// How old a token may grow.
    pub ttl: Lifetime,
}

impl Sweeper {
    /// Starts the sweeper on the current arbiter. Its first pass begins at once.
    pub fn start(store: Store, schedule: Schedule, clock: Clock) -> Self {
        let stop = Arc::new(Notify::new());
        let ending = stop.clone();
        let address =
            Supervisor::start(move |_| Worker { store, schedule, clock, next: None, stop: ending });
        Self { address, stop }
    }

    /// Ends a pass that is under way after its present chunk, and lets no other begin.
    pub async fn stop(&self) {
        self.stop.notify_one();
        let _ = self.address.send(Stop).await;
    }

    /// Has it pass now, after a pass that is under way, and tells what it removed.
    ///
    /// # Errors
    /// [`StoreError`] of the chunk that failed; those before it stay removed.
    pub async fn sweep(&self) -> Result<Purged, StoreError> {
        let answer = self.address.send(Sweep { counts: true }).await;
        answer.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
    }
}

struct Worker {
    store: Store,
    schedule: Schedule,
    clock: Clock,
    /// The pass that is due next.
    next: Option<SpawnHandle>,
    /// Rings once, at the end.
    stop: Arc<Notify>,
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
        let Schedule { retain, ttl, .. } = self.schedule;
        let now = (self.clock)();
        let store = self.store.clone();
        let purge = Purge::of(retain, ttl, now);
        let stop = self.stop.clone();
        let pass = async move {
            let pass = async {
                let result = store.purge(purge).await;
                if counts && let Err(error) = store.note_live(ttl, now).await {
                    log::warn!("the live tokens were not counted: {error}");
                }
                result
            };
            // Dropped, a purge ends between two chunks.
            match select(Box::pin(pass), Box::pin(stop.notified())).await {
                Either::Left((result, _)) => result,
                // What it removed until then is not told: nobody is left to ask.
                Either::Right(_) => Ok(Purged::default()),
            }
        };
        AtomicResponse::new(Box::pin(pass.into_actor(self).map(|result, worker, context| {
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

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl Handler<Stop> for Worker {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        if let Some(next) = self.next.take() {
            context.cancel_future(next);
        }
    }
}
