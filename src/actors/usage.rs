//! The usage recorder: keeps `last_used_at` without a write on the check path.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use actix::prelude::*;

use crate::domain::Timestamp;
use crate::metrics::Metrics;
use crate::store::Store;

/// Uses that may wait for the recorder; further ones are dropped and counted.
const MAILBOX: usize = 16_384;
/// Tokens whose use may wait for a flush; further ones are dropped and counted.
const PENDING: usize = 65_536;
/// Tokens in one write, so that a flush doesn't hold up the writer.
const CHUNK: usize = 500;
/// How long a use may wait for its flush.
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

    /// Has it noted that the token with this id passed a check. Never waits.
    pub fn record(&self, token_id: i64, at: Timestamp) {
        if self.address.try_send(Used { token_id, at }).is_err() {
            self.metrics.token_uses_dropped.inc();
        }
    }

    /// Writes down what has been noted so far.
    pub async fn flush(&self) {
        if self.address.send(Flush).await.is_err() {
            log::error!("the usage recorder has ended");
        }
    }
}

struct Recorder {
    store: Store,
    /// Each token's latest use, until it is flushed.
    pending: HashMap<i64, Timestamp>,
    /// The flush that is due; none while nothing is pending, so that an idle server stays idle.
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
    /// Atomic: one flush at a time, and whoever waits for one waits for those before it.
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Flush, context: &mut Self::Context) -> Self::Result {
        if let Some(due) = self.flush.take() {
            context.cancel_future(due);
        }
        let (store, metrics) = (self.store.clone(), self.metrics.clone());
        let mut uses: Vec<_> = mem::take(&mut self.pending).into_iter().collect();
        // In the order of the rows, so that each write changes few pages.
        uses.sort_unstable_by_key(|&(id, _)| id);
        let flush = async move {
            let mut rest = uses.as_slice();
            while !rest.is_empty() {
                let (chunk, others) = rest.split_at(rest.len().min(CHUNK));
                if let Err(error) = store.record_usage(chunk.to_vec()).await {
                    metrics.token_uses_dropped.inc_by(rest.len() as u64);
                    log::warn!("the last use of {} tokens was not noted: {error}", rest.len());
                    return;
                }
                rest = others;
            }
        };
        AtomicResponse::new(Box::pin(flush.into_actor(self)))
    }
}
