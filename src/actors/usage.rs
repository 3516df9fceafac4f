//! The usage recorder: keeps `last_used_at` up to date by writing uses in batches, so no check waits for it.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use actix::prelude::*;

use crate::domain::Timestamp;
use crate::metrics::Metrics;
use crate::store::Store;

/// The most uses that wait for the recorder. Further ones are dropped and counted.
const MAILBOX: usize = 16_384;
/// The most tokens whose use waits for a flush. Uses of further ones are dropped and counted.
const PENDING: usize = 65_536;
/// The most tokens in one write, so that a flush doesn't block other writes.
const CHUNK: usize = 500;
/// The time between the first pending use and its flush.
const DELAY: Duration = Duration::from_secs(5);

/// The handle of the usage recorder. Clones share it.
#[derive(Clone)]
pub struct UsageRecorder {
    address: Addr<Recorder>,
    metrics: Metrics,
}

impl UsageRecorder {
    /// Starts the recorder on the current arbiter.
    pub fn start(store: Store, metrics: Metrics) -> Self {
        let shared = metrics.clone();
        let address = Supervisor::start(|context: &mut Context<Recorder>| {
            context.set_mailbox_capacity(MAILBOX);
            Recorder { store, pending: HashMap::new(), flush: None, metrics: shared }
        });
        Self { address, metrics }
    }

    /// Records that the token with this id passed a check. Never waits.
    pub fn record(&self, token_id: i64, at: Timestamp) {
        if self.address.try_send(Used { token_id, at }).is_err() {
            self.metrics.token_uses_dropped.inc();
        }
    }

    /// Writes the uses recorded so far to the store.
    pub async fn flush(&self) {
        if self.address.send(Flush).await.is_err() {
            log::error!("the usage recorder has stopped; last_used_at is not updated");
        }
    }
}

struct Recorder {
    store: Store,
    /// Each token's latest use, until it is flushed.
    pending: HashMap<i64, Timestamp>,
    /// The scheduled flush; `None` while nothing is pending, so that an idle server stays idle.
    flush: Option<SpawnHandle>,
    metrics: Metrics,
}

impl Actor for Recorder {
    type Context = Context<Self>;
}

impl Supervised for Recorder {}

#[derive(Message)]
#[rtype(result = "()")]
struct Used {
    token_id: i64,
    at: Timestamp,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Flush;

impl Handler<Used> for Recorder {
    type Result = ();

    fn handle(&mut self, Used { token_id, at }: Used, context: &mut Self::Context) {
        if self.pending.len() >= PENDING && !self.pending.contains_key(&token_id) {
            self.metrics.token_uses_dropped.inc();
            return;
        }
        self.pending.insert(token_id, at);
        if self.flush.is_none() {
            self.flush = Some(context.notify_later(Flush, DELAY));
        }
    }
}

impl Handler<Flush> for Recorder {
    /// Atomic: flushes run one at a time, so the end of a flush means that earlier flushes ended too.
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Flush, context: &mut Self::Context) -> Self::Result {
        if let Some(due) = self.flush.take() {
            context.cancel_future(due);
        }
        let (store, metrics) = (self.store.clone(), self.metrics.clone());
        let mut uses: Vec<_> = mem::take(&mut self.pending).into_iter().collect();
        // Sorted by row, so that each write changes few pages.
        uses.sort_unstable_by_key(|&(id, _)| id);
        let flush = async move {
            let mut rest = uses.as_slice();
            while !rest.is_empty() {
                let (chunk, others) = rest.split_at(rest.len().min(CHUNK));
                if let Err(error) = store.record_usage(chunk.to_vec()).await {
                    metrics.token_uses_dropped.inc_by(rest.len() as u64);
                    log::warn!("can't update last_used_at of {} tokens: {error}", rest.len());
                    return;
                }
                rest = others;
            }
        };
        AtomicResponse::new(Box::pin(flush.into_actor(self)))
    }
}
