//! The password hasher: bcrypt on a few threads of low priority, so that a flood of logins slows
//! logins and not token checks. Callers take turns, so that a flood from some networks does not block
//! logins from others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::fair_queue::{FairQueue, Full};
use crate::domain::{Network, Password, PasswordHash};
use crate::metrics::{Metrics, Queue};

#[cfg(test)]
mod tests;

/// The most passwords that wait for a thread or are on one. Further ones are refused.
const PLACES: usize = 64;
/// The most places that one network may hold.
const NETWORK_SHARE: usize = 8;

/// The handle of the password hasher. Clones share it.
#[derive(Clone)]
pub struct Hasher {
    address: Addr<Worker>,
    /// The cost of new hashes.
    cost: u32,
    /// A `SyncArbiter` queues messages without bound, first in, first out. So the jobs wait here, and a
    /// message only wakes a thread.
    jobs: Jobs,
    metrics: Metrics,
}

#[derive(Clone)]
struct Jobs(Arc<Mutex<Waiting>>);

struct Waiting {
    queue: FairQueue<Caller, Box<dyn Job>>,
    /// The messages that no thread has received yet: at least one for each waiting job, so that every job
    /// is run, and at most one for each place. They are counted because the message for a job remains when
    /// its caller hangs up and the job is dropped.
    calls: usize,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code panics while it holds the lock, so a poisoned queue would still be consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job. Returns the job that it displaced, and whether another message must be sent.
    fn push(
        &self,
        caller: Caller,
        job: Box<dyn Job>,
    ) -> Result<(Option<Box<dyn Job>>, bool), Full> {
        let Waiting { queue, calls } = &mut *self.lock();
        let displaced = queue.push(caller, caller.share(), |other| other.yields_to(caller), job)?;
        let is_called = *calls < queue.places_taken();
        *calls += usize::from(is_called);
        Ok((displaced, is_called))
    }

    /// Takes the next job whose caller still waits for it. Called once for each message received.
    fn next(&self) -> Option<(Caller, Box<dyn Job>)> {
        let Waiting { queue, calls } = &mut *self.lock();
        *calls -= 1;
        queue.next(|job| !job.is_abandoned())
    }
}

/// Who wants a password hashed or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A client, for its own account.
    Network(Network),
    /// A client in a network from which the account's user has logged in recently. An attacker may have more
    /// networks than there are places, for example those of an IPv6 /56, but none of these.
    KnownNetwork(Network),
    /// An administrator, or the server's operator.
    Administration,
}

impl Caller {
    /// The most places that the caller may hold.
    fn share(self) -> usize {
        match self {
            Self::Network(_) | Self::KnownNetwork(_) => NETWORK_SHARE,
            Self::Administration => PLACES,
        }
    }

    /// Whether the caller gives up a place for another one when the queue is full.
    fn yields_to(self, other: Self) -> bool {
        matches!((self, other), (Self::Network(_), Self::KnownNetwork(_)))
    }
}

/// Why a password was not hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum HasherError {
    /// Too many passwords are waiting already, of all callers or of this one.
    #[error("the password hasher's queue is full")]
    Busy,
    /// The hasher has stopped, or failed.
    #[error("the password hasher failed: {0}")]
    Failed(String),
}

/// A password to check.
#[derive(Debug)]
pub struct Guess {
    /// The password.
    pub password: Password,
    /// The hash to check it against. Without one, the guess is wrong.
    pub hash: Option<PasswordHash>,
    /// The highest cost among the stored hashes, if there are any.
    pub highest_cost: Option<u32>,
    /// The rounds of bcrypt that earlier checks of the same attempt took.
    pub spent: u64,
}

impl Hasher {
    /// Starts the threads, one for each core. New hashes cost 2^`cost` rounds.
    pub fn start(cost: u32, metrics: Metrics) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_threads(threads, cost, metrics)
    }

    fn with_threads(threads: usize, cost: u32, metrics: Metrics) -> Self {
        let waiting = Waiting { queue: FairQueue::new(PLACES), calls: 0 };
        let jobs = Jobs(Arc::new(Mutex::new(waiting)));
        let worker = Worker { cost, jobs: jobs.clone(), metrics: metrics.clone() };
        let address = SyncArbiter::start(threads, move || worker.clone());
        Self { address, cost, jobs, metrics }
    }

    /// Whether a hash's cost differs from that of new hashes.
    pub fn is_outdated(&self, hash: &PasswordHash) -> bool {
        hash.cost() != Some(self.cost)
    }

    /// Hashes a password.
    ///
    /// # Errors
    /// [`HasherError`]
    pub async fn hash(
        &self,
        caller: Caller,
        password: Password,
    ) -> Result<PasswordHash, HasherError> {
        self.run_on_thread(caller, move |worker| worker.hash(&password)).await
    }

    /// Whether a guess is right. Every wrong guess takes the rounds of the highest cost, whatever the cost
    /// of the hash and even without a hash, so that its time reveals nothing about the account.
    ///
    /// # Errors
    /// [`HasherError`]
    pub async fn verify(&self, caller: Caller, guess: Guess) -> Result<bool, HasherError> {
        self.run_on_thread(caller, move |worker| Ok(worker.verify(&guess))).await
    }

    /// Updates the metric of how many passwords wait or are on a thread.
    pub fn note_queue(&self) {
        self.metrics.set_queue_length(Queue::Passwords, self.jobs.lock().queue.places_taken());
    }

    /// Runs `work` on a thread. If the caller stops waiting, work that has not begun is dropped. Work that
    /// has begun keeps its place until it is done.
    async fn run_on_thread<T: Send + 'static>(
        &self,
        caller: Caller,
        work: impl FnOnce(&Worker) -> Result<T, HasherError> + Send + 'static,
    ) -> Result<T, HasherError> {
        if !self.address.connected() {
            return Err(HasherError::Failed("it has stopped".to_owned()));
        }
        let (answer, answered) = oneshot::channel();
        let pushed = self.jobs.push(caller, Box::new(Ask { work, answer }));
        // Either this job was refused, or it displaced another one.
        if !matches!(pushed, Ok((None, _))) {
            self.metrics.count_rejection(Queue::Passwords);
        }
        let (_, is_called) = pushed.map_err(|Full| HasherError::Busy)?;
        if is_called {
            self.address.do_send(TakeTurn);
        }
        // A displaced job is dropped without an answer.
        answered.await.unwrap_or(Err(HasherError::Busy))
    }
}

trait Job: Send {
    /// Does the work, frees the caller's place and answers.
    fn run(self: Box<Self>, worker: &Worker, caller: Caller);
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
}

struct Ask<W, T> {
    work: W,
    answer: oneshot::Sender<Result<T, HasherError>>,
}

impl<W, T> Job for Ask<W, T>
where
    W: FnOnce(&Worker) -> Result<T, HasherError> + Send,
    T: Send,
{
    fn run(self: Box<Self>, worker: &Worker, caller: Caller) {
        let Self { work, answer } = *self;
        let start = Instant::now();
        // A panic must end only its own job, not the thread.
        let result = catch_unwind(AssertUnwindSafe(|| work(worker)))
            .unwrap_or_else(|_| Err(HasherError::Failed("a job panicked".to_owned())));
        worker.metrics.password_hash_seconds.observe(start.elapsed().as_secs_f64());
        // Freed before the answer, because the caller may ask again as soon as it has the answer.
        worker.jobs.lock().queue.finish_job(caller);
        // The caller may have hung up.
        let _ = answer.send(result);
    }

    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

#[derive(Clone)]
struct Worker {
    /// The cost of new hashes.
    cost: u32,
    jobs: Jobs,
    metrics: Metrics,
}

impl Actor for Worker {
    type Context = SyncContext<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        // Only Linux has a priority for each thread. Elsewhere this would slow down the whole process.
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::setpriority_process(None, 19) {
            log::warn!(
                "can't lower the password hasher's priority; logins may slow checks: {error}"
            );
        }
    }
}

/// Wakes a thread, which takes the next job from the queue.
#[derive(Message)]
#[rtype(result = "()")]
struct TakeTurn;

impl Handler<TakeTurn> for Worker {
    type Result = ();

    fn handle(&mut self, _: TakeTurn, _: &mut Self::Context) {
        if let Some((caller, job)) = self.jobs.next() {
            job.run(self, caller);
        }
    }
}

impl Worker {
    fn hash(&self, password: &Password) -> Result<PasswordHash, HasherError> {
        self.metrics.bcrypt_rounds.inc_by(1 << self.cost);
        bcrypt::hash(password.expose(), self.cost)
            .map(PasswordHash::new)
            .map_err(|error| HasherError::Failed(error.to_string()))
    }

    fn verify(&self, guess: &Guess) -> bool {
        let checked = guess.hash.as_ref().filter(|hash| hash.cost().is_some());
        let rounds = checked.map_or(0, PasswordHash::rounds);
        self.metrics.bcrypt_rounds.inc_by(rounds);
        let password = guess.password.expose();
        if checked.is_some_and(|hash| bcrypt::verify(password, hash.expose()).unwrap_or(false)) {
            return true;
        }
        let highest = 1 << guess.highest_cost.unwrap_or(0).max(self.cost);
        self.run_rounds(highest.max(rounds).saturating_sub(guess.spent + rounds));
        false
    }

    /// Runs this many rounds of bcrypt: one hash for each power of two in the number.
    fn run_rounds(&self, rounds: u64) {
        for cost in PasswordHash::COSTS.filter(|cost| rounds >> cost & 1 == 1) {
            self.metrics.bcrypt_rounds.inc_by(1 << cost);
            let _ = std::hint::black_box(bcrypt::hash_with_salt("", cost, [0; 16]));
        }
    }
}
