//! The password hasher: bcrypt on a few threads of low priority, so that a flood of logins slows
//! logins and not token checks.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::{Password, PasswordHash};
use crate::metrics::{Metrics, Queue};

/// Passwords that may wait for a thread or be on one; further ones are refused.
const QUEUE: usize = 64;

/// The handle of the password hasher. Clones share it.
#[derive(Clone)]
pub struct Hasher {
    address: Addr<Worker>,
    /// What new hashes cost.
    cost: u32,
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

/// A password to be checked.
#[derive(Debug)]
pub struct Guess {
    /// The password.
    pub password: Password,
    /// The hash to check it against. Without one, the guess is wrong.
    pub hash: Option<PasswordHash>,
    /// The highest cost among the stored hashes, if there are any.
    pub highest_cost: Option<u32>,
    /// The rounds of bcrypt that the same attempt has taken before.
    pub spent: u64,
}

impl Hasher {
    /// Starts the threads, one for each core. New hashes cost 2^`cost` rounds.
    pub fn start(cost: u32, metrics: Metrics) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let counting = metrics.clone();
        let address =
            SyncArbiter::start(threads, move || Worker { cost, metrics: counting.clone() });
        Self { address, cost, places: Arc::new(Semaphore::new(QUEUE)), metrics }
    }

    /// Whether a hash has another cost than new ones.
    pub fn is_outdated(&self, hash: &PasswordHash) -> bool {
        hash.cost() != Some(self.cost)
    }

    /// Hashes a password.
    ///
    /// # Errors
    /// [`HasherError`]
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, HasherError> {
        self.ask(|place| Hash { password, _place: place }).await
    }

    /// Whether a guess is right. A wrong one takes the rounds of the highest cost, whatever the cost
    /// of its hash and whether it has one, so that its time tells nothing about the account.
    ///
    /// # Errors
    /// [`HasherError`]
    pub async fn verify(&self, guess: Guess) -> Result<bool, HasherError> {
        self.ask(|place| Verify { guess, _place: place }).await
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
#[rtype(result = "Result<bool, HasherError>")]
struct Verify {
    guess: Guess,
    _place: OwnedSemaphorePermit,
}

impl Handler<Hash> for Worker {
    type Result = Result<PasswordHash, HasherError>;

    fn handle(&mut self, message: Hash, _: &mut Self::Context) -> Self::Result {
        let start = Instant::now();
        let result = self.hash(&message.password);
        self.metrics.hashed(start.elapsed());
        result
    }
}

impl Handler<Verify> for Worker {
    type Result = Result<bool, HasherError>;

    fn handle(&mut self, message: Verify, _: &mut Self::Context) -> Self::Result {
        let start = Instant::now();
        let right = self.verify(&message.guess);
        self.metrics.hashed(start.elapsed());
        Ok(right)
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
        self.spend(highest.max(rounds).saturating_sub(guess.spent + rounds));
        false
    }

    /// Takes this many rounds: as a sum of powers of two, each of which is a hash's.
    fn spend(&self, rounds: u64) {
        for cost in PasswordHash::COSTS.filter(|cost| rounds >> cost & 1 == 1) {
            self.metrics.bcrypt_rounds.inc_by(1 << cost);
            let _ = std::hint::black_box(bcrypt::hash_with_salt("", cost, [0; 16]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::block_on;

    fn password(text: &str) -> Password {
        Password::claimed(text.to_owned()).unwrap()
    }

    async fn verify(hasher: &Hasher, text: &str, hash: Option<PasswordHash>) -> bool {
        let guess = Guess { password: password(text), hash, highest_cost: None, spent: 0 };
        hasher.verify(guess).await.unwrap()
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
                let stored = PasswordHash::new(hash.clone());
                assert_eq!(verify(&hasher, "secret", Some(stored)).await, matches, "{hash}");
            }
            assert!(!verify(&hasher, "Secret", Some(own)).await);
            assert!(!verify(&hasher, "secret", None).await);
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
