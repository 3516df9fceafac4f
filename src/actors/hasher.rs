//! The password hasher: bcrypt on a few threads of low priority, so that a flood of logins slows
//! logins and not token checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::{Password, PasswordHash};
use crate::metrics::{Metrics, Queue};

/// Passwords that may wait for a thread or be on one; further ones are refused.
const QUEUE: usize = 64;

/// The dearest hash that is checked: the highest cost that the settings allow.
const HIGHEST_COST: u32 = 15;

/// The handle of the password hasher. Clones share it.
#[derive(Clone)]
pub struct Hasher {
    address: Addr<Worker>,
    /// A `SyncArbiter` queues without bound. A place is taken here first, and travels inside the
    /// message: a caller who hangs up frees none while the work goes on.
    places: Arc<Semaphore>,
    metrics: Metrics,
}

/// Why a password was not hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum HasherError {
    /// Too many are waiting already.
    #[error("the password hasher's queue is full")]
    Busy,
    /// The hasher has ended, or failed.
    #[error("the password hasher failed: {0}")]
    Failed(String),
}

/// What a check of a password found.
#[derive(Debug)]
pub enum Verified {
    /// It is another password, or there was no hash to check it against.
    No,
    /// It is the password.
    Yes,
    /// It is the password, and the hash has another cost than new ones; here is one that hasn't.
    Outdated(PasswordHash),
}

impl Hasher {
    /// Starts the threads, one for each core. New hashes cost 2^`cost` rounds.
    pub fn start(cost: u32, metrics: Metrics) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (highest, counting) = (Arc::new(AtomicU32::new(cost)), metrics.clone());
        let address = SyncArbiter::start(threads, move || Worker {
            cost,
            highest: highest.clone(),
            metrics: counting.clone(),
        });
        Self { address, places: Arc::new(Semaphore::new(QUEUE)), metrics }
    }

    /// Hashes a password.
    ///
    /// # Errors
    /// [`HasherError`]
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, HasherError> {
        self.ask(|place| Hash { password, _place: place }).await
    }

    /// Checks a password against a hash. Without one it takes the time of a check all the same, so
    /// that nobody learns by the clock whether there was one.
    ///
    /// # Errors
    /// [`HasherError`]
    pub async fn verify(
        &self,
        password: Password,
        hash: Option<PasswordHash>,
    ) -> Result<Verified, HasherError> {
        self.ask(|place| Verify { password, hash, _place: place }).await
    }

    /// Notes how many passwords wait, or are on a thread.
    pub fn note_queue(&self) {
        let taken = QUEUE - self.places.available_permits();
        self.metrics.waiting(Queue::Passwords, taken);
    }

    async fn ask<M, T>(
        &self,
        message: impl FnOnce(OwnedSemaphorePermit) -> M,
    ) -> Result<T, HasherError>
    where
        M: Message<Result = Result<T, HasherError>> + Send + 'static,
        T: Send + 'static,
        Worker: Handler<M>,
    {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.metrics.refused(Queue::Passwords);
            return Err(HasherError::Busy);
        };
        let answer = self.address.send(message(place)).await;
        answer.map_err(|error| HasherError::Failed(error.to_string()))?
    }
}

struct Worker {
    /// What new hashes cost.
    cost: u32,
    /// The highest cost among the hashes met so far: what a check takes that finds nothing.
    highest: Arc<AtomicU32>,
    metrics: Metrics,
}

impl Actor for Worker {
    type Context = SyncContext<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        // Linux gives each thread a priority of its own; elsewhere this would lower the process's.
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::setpriority_process(None, 19) {
            log::warn!("logins will compete with token checks: {error}");
        }
    }
}

#[derive(Message)]
#[rtype(result = "Result<PasswordHash, HasherError>")]
struct Hash {
    password: Password,
    _place: OwnedSemaphorePermit,
}

#[derive(Message)]
#[rtype(result = "Result<Verified, HasherError>")]
struct Verify {
    password: Password,
    hash: Option<PasswordHash>,
    _place: OwnedSemaphorePermit,
}

impl Handler<Hash> for Worker {
    type Result = Result<PasswordHash, HasherError>;

    fn handle(&mut self, message: Hash, _: &mut Self::Context) -> Self::Result {
        let start = Instant::now();
        let result = hash(&message.password, self.cost);
        self.metrics.hashed(start.elapsed());
        result
    }
}

impl Handler<Verify> for Worker {
    type Result = Result<Verified, HasherError>;

    fn handle(&mut self, message: Verify, _: &mut Self::Context) -> Self::Result {
        let start = Instant::now();
        let result = self.verify(message);
        self.metrics.hashed(start.elapsed());
        result
    }
}

impl Worker {
    fn verify(&self, message: Verify) -> Result<Verified, HasherError> {
        let Verify { password, hash: stored, .. } = message;
        let stored = stored.and_then(|hash| Some((cost_of(&hash)?, hash)));
        let Some((cost, stored)) = stored else {
            spend(&password, self.highest.load(Ordering::Relaxed));
            return Ok(Verified::No);
        };
        let highest = self.highest.fetch_max(cost, Ordering::Relaxed).max(cost);
        match bcrypt::verify(password.expose(), stored.expose()) {
            Ok(true) if cost == self.cost => Ok(Verified::Yes),
            Ok(true) => hash(&password, self.cost).map(Verified::Outdated),
            Ok(false) | Err(_) => {
                // A cheaper hash took less time. Its own rounds and those of each cost from there
                // up to the highest add up to the highest's: 2^c + 2^c + 2^(c+1) + … .
                for cost in cost..highest {
                    spend(&password, cost);
                }
                Ok(Verified::No)
            }
        }
    }
}

fn hash(password: &Password, cost: u32) -> Result<PasswordHash, HasherError> {
    bcrypt::hash(password.expose(), cost)
        .map(PasswordHash::new)
        .map_err(|error| HasherError::Failed(error.to_string()))
}

/// Takes the time of one hash of this cost.
fn spend(password: &Password, cost: u32) {
    let _ = std::hint::black_box(bcrypt::hash_with_salt(password.expose(), cost, [0; 16]));
}

/// The cost that a bcrypt hash names, if it is one, and none that would keep a thread for minutes.
fn cost_of(hash: &PasswordHash) -> Option<u32> {
    let parts: bcrypt::HashParts = hash.expose().parse().ok()?;
    Some(parts.get_cost()).filter(|cost| (4..=HIGHEST_COST).contains(cost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::block_on;

    fn password(text: &str) -> Password {
        Password::claimed(text.to_owned()).unwrap()
    }

    #[test]
    fn hashes_of_every_maker_are_read_and_rubbish_matches_nothing() {
        block_on(async {
            let hasher = Hasher::start(4, Metrics::new().unwrap());
            let own = hasher.hash(password("secret")).await.unwrap();
            let body = own.expose().strip_prefix("$2b$").unwrap();
            for (hash, matches) in [
                (format!("$2b${body}"), true),
                (format!("$2a${body}"), true),
                (format!("$2y${body}"), true),
                (format!("$2z${body}"), false),
                (format!("$2b$31${}", &body[3..]), false),
                (own.expose()[..59].to_owned(), false),
                ("secret".to_owned(), false),
                (String::new(), false),
            ] {
                let verified =
                    hasher.verify(password("secret"), Some(PasswordHash::new(hash.clone()))).await;
                assert_eq!(matches!(verified, Ok(Verified::Yes)), matches, "{hash}");
            }
            let wrong = hasher.verify(password("Secret"), Some(own)).await.unwrap();
            assert!(matches!(wrong, Verified::No));
            let unknown = hasher.verify(password("secret"), None).await.unwrap();
            assert!(matches!(unknown, Verified::No));
        });
    }

    #[test]
    fn a_full_queue_refuses_the_next_and_who_hangs_up_frees_no_place() {
        block_on(async {
            // Dear enough that none is done while the queue fills.
            let hasher = Hasher::start(12, Metrics::new().unwrap());
            let mut waiting: Vec<_> =
                (0..QUEUE).map(|_| Box::pin(hasher.hash(password("secret")))).collect();
            for hash in &mut waiting {
                assert!(futures_util::FutureExt::now_or_never(hash.as_mut()).is_none());
            }
            drop(waiting);
            let refused = hasher.hash(password("secret")).await;
            assert!(matches!(refused, Err(HasherError::Busy)));
        });
    }
}
