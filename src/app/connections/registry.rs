//! Which connections are open, and which of them are given up: because they are too slow, or because there
//! are too many.
//!
//! A connection asks for admission once, and its [`Ticket`] gives the place back. In between it only writes
//! its [`Record`]. One task sweeps over all records a few times a second.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Limits;
use super::record::{Phase, Record};
use crate::config::TrustedProxies;
use crate::domain::Network;
use crate::metrics::{CloseReason, Metrics};

/// The open connections of a server.
pub(super) struct Registry {
    limits: Limits,
    proxies: TrustedProxies,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connections: HashMap<u64, Entry>,
    /// Connections that are not being closed, by network. Those of trusted proxies are not counted.
    networks: HashMap<Network, usize>,
    /// Connections that are not being closed.
    living: usize,
    next: u64,
    /// The sweeps so far, which are the clock here.
    sweeps: u64,
    stopping: bool,
}

struct Entry {
    record: Arc<Record>,
    /// `None` for a trusted proxy.
    network: Option<Network>,
    closing: bool,
    phase: Phase,
    epoch: u32,
    /// The sweep that first saw the phase, or that began to measure its rate.
    since: u64,
    traffic: (u64, u64),
}

/// An admitted connection. Its drop gives the place back.
pub(super) struct Ticket {
    pub(super) record: Arc<Record>,
    registry: Arc<Registry>,
    id: u64,
}

impl Registry {
    pub(super) fn new(limits: Limits, proxies: TrustedProxies, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { limits, proxies, metrics, state: Mutex::default() })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a new connection. If its network has too many, it gives up one of these. If there are too many
    /// in all, it gives up one of this network or of a larger one, so that no network displaces smaller ones.
    /// `None` if none can be given up.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Ticket> {
        let network = (!self.proxies.contain(peer)).then(|| Network::from(peer));
        let mut state = self.state();
        if state.share(network) >= self.limits.connections_of_a_network {
            let limit = self.limits.connections_of_a_network;
            self.make_room(&mut state, limit, |entry, _| entry.network == network);
        }
        if state.living >= self.limits.connections {
            let own = state.share(network);
            let may_go = |entry: &Entry, share| entry.network == network || share > own;
            self.make_room(&mut state, self.limits.connections, may_go);
        }
        let has_room = state.living < self.limits.connections
            && state.share(network) < self.limits.connections_of_a_network
            && state.connections.len() < self.limits.connections + self.limits.closing();
        if !has_room {
            self.metrics.count_closed_connection(CloseReason::Refused);
            return None;
        }
        if let Some(network) = network {
            *state.networks.entry(network).or_default() += 1;
        }
        state.living += 1;
        state.next += 1;
        let (id, record) = (state.next, Arc::new(Record::default()));
        let entry = Entry {
            record: record.clone(),
            network,
            closing: false,
            phase: Phase::default(),
            epoch: 0,
            since: state.sweeps,
            traffic: (0, 0),
        };
        state.connections.insert(id, entry);
        self.metrics.connections.inc();
        Some(Ticket { record, registry: self.clone(), id })
    }

    /// Gives up at most 1/64 of the limit at once, so that a flood does not sort all connections for each new one.
    /// Idle connections go first, then those that wait for a head, then those that wait for a body or for a slow
    /// reader, unless they are the only one of their network. In a class, the largest network loses first, and
    /// in it the connection that has waited longest. Trusted proxies come last. A connection whose handler runs
    /// is never given up.
    ///
    /// `may_go` is asked about each connection and the number of its network's.
    fn make_room(&self, state: &mut State, limit: usize, may_go: impl Fn(&Entry, usize) -> bool) {
        let mut candidates: Vec<_> = state
            .connections
            .iter()
            .map(|(id, entry)| (id, entry, state.share(entry.network)))
            .filter(|(_, entry, share)| !entry.closing && may_go(entry, *share))
            .filter_map(|(id, entry, share)| {
                let (phase, _, since) = entry.seen(state.sweeps);
                let class = match phase {
                    Phase::Idle => 0,
                    Phase::Head => 1,
                    Phase::Body | Phase::Answer if share > 1 => 2,
                    _ => return None,
                };
                Some(((share == 0, class, Reverse(share), since), *id))
            })
            .collect();
        candidates.sort_unstable();
        let first = candidates.first().map(|((is_trusted, class, ..), _)| (*is_trusted, *class));
        let chosen = candidates
            .iter()
            .take_while(|((is_trusted, class, ..), _)| first == Some((*is_trusted, *class)))
            .take((limit / 64).max(1));
        for (_, id) in chosen {
            self.give_up(state, *id, CloseReason::Full);
        }
    }

    /// Closes the connections that are too slow.
    pub(super) fn sweep(&self) {
        let mut state = self.state();
        state.sweeps += 1;
        let (sweeps, stopping) = (state.sweeps, state.stopping);
        let slow: Vec<_> = state
            .connections
            .iter_mut()
            .filter_map(|(id, entry)| Some((*id, entry.sweep(sweeps, stopping, &self.limits)?)))
            .collect();
        for (id, reason) in slow {
            self.give_up(&mut state, id, reason);
        }
    }

    /// From now on, clients that don't read get only a moment, so that they don't hold up a shutdown.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        let sweeps = state.sweeps;
        for entry in state.connections.values_mut() {
            (entry.since, entry.traffic) = (sweeps, entry.record.traffic());
        }
    }

    fn give_up(&self, state: &mut State, id: u64, reason: CloseReason) {
        let Some(entry) = state.connections.get_mut(&id) else {
            return;
        };
        if entry.record.close() {
            self.metrics.count_closed_connection(reason);
        }
        if !std::mem::replace(&mut entry.closing, true) {
            let network = entry.network;
            state.forget(network);
        }
    }
}

impl State {
    /// How many connections a network has; none for a trusted proxy.
    fn share(&self, network: Option<Network>) -> usize {
        network.and_then(|network| self.networks.get(&network)).copied().unwrap_or(0)
    }

    /// Counts a connection no longer.
    fn forget(&mut self, network: Option<Network>) {
        self.living -= 1;
        if let Some(network) = network
            && let Some(share) = self.networks.get_mut(&network)
        {
            *share -= 1;
            if *share == 0 {
                self.networks.remove(&network);
            }
        }
    }
}

impl Entry {
    /// The phase, the epoch, and the sweep since which they last.
    fn seen(&self, sweeps: u64) -> (Phase, u32, u64) {
        let (phase, epoch) = (self.record.phase(), self.record.epoch());
        // Requests come and go while a client reads slowly.
        let is_same = phase == self.phase && (epoch == self.epoch || phase == Phase::Answer);
        (phase, epoch, if is_same { self.since } else { sweeps })
    }

    /// Why the connection is too slow, if it is.
    fn sweep(&mut self, sweeps: u64, stopping: bool, limits: &Limits) -> Option<CloseReason> {
        let (phase, epoch, since) = self.seen(sweeps);
        if since == sweeps {
            self.traffic = self.record.traffic();
        }
        (self.phase, self.epoch, self.since) = (phase, epoch, since);
        let waited = limits.sweep * u32::try_from(sweeps - since).unwrap_or(u32::MAX);
        let patience = if stopping { limits.stall_at_shutdown } else { limits.stall };
        let (received, sent) = self.record.traffic();
        let (moved, reason) = match phase {
            Phase::Idle => return (waited >= limits.idle).then_some(CloseReason::Idle),
            Phase::Head => {
                let most = if stopping { limits.stall_at_shutdown } else { limits.head };
                return (waited >= most).then_some(CloseReason::SlowHead);
            }
            Phase::Handler => return None,
            Phase::Body => (received - self.traffic.0, CloseReason::SlowBody),
            Phase::Answer => (sent - self.traffic.1, CloseReason::SlowReader),
        };
        if waited < patience {
            return None;
        }
        if (moved as f64) < waited.as_secs_f64() * f64::from(limits.rate) {
            return Some(reason);
        }
        (self.since, self.traffic) = (sweeps, (received, sent));
        None
    }
}

impl Ticket {
    pub(super) fn limits(&self) -> &Limits {
        &self.registry.limits
    }

    /// Closes the connection.
    pub(super) fn give_up(&self, reason: CloseReason) {
        self.registry.give_up(&mut self.registry.state(), self.id, reason);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.registry.state();
        if let Some(entry) = state.connections.remove(&self.id) {
            if !entry.closing {
                state.forget(entry.network);
            }
            self.registry.metrics.connections.dec();
        }
    }
}
