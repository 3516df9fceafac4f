//! What is counted, for Prometheus. No label takes its value from a request: each is a word of the
//! program's own, or a route's pattern.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// Requests that could not be read, and are not counted yet. One for the whole process: the HTTP library
/// reports them to the log alone, which belongs to no server.
pub static MALFORMED_REQUESTS: AtomicU64 = AtomicU64::new(0);

/// The counters. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Seconds from a request's head to its answer's, by method, route and status.
    request_seconds: HistogramVec,
    /// Tokens found in the verdict cache.
    pub hits: IntCounter,
    /// Tokens looked up in the store.
    pub misses: IntCounter,
    /// Strings that can't be tokens, refused without a look-up.
    pub malformed: IntCounter,
    malformed_requests: IntCounter,
    logins: IntCounterVec,
    /// Seconds that a password took to be checked or hashed, once a thread had it.
    pub password_hash_seconds: Histogram,
    /// Rounds of bcrypt: a hash of cost 12 takes 4,096.
    pub bcrypt_rounds: IntCounter,
    /// Writes in one transaction; their count is that of the commits.
    pub commit_batch_size: Histogram,
    queue_rejections: IntCounterVec,
    queue_lengths: IntGaugeVec,
    token_events: IntCounterVec,
    /// Live tokens, as of the sweeper's last count. Without a label, and a family all the same: it is
    /// not told before it is known.
    tokens_live: IntGaugeVec,
    /// Uses of a token that `last_used_at` does not show, because too many were waiting or the store
    /// refused them.
    pub token_uses_dropped: IntCounter,
}

/// Where something waits.
#[derive(Clone, Copy, Debug)]
pub enum Queue {
    /// For a reader of the store.
    Reads,
    /// For the store's writer.
    Writes,
    /// For a hashing thread.
    Passwords,
}

/// How a login ended.
#[derive(Clone, Copy, Debug)]
pub enum Login {
    /// With a token.
    Success,
    /// With the wrong email or password, or a disabled user.
    Refused,
    /// Before it was looked at: too many attempts.
    Limited,
    /// With the right password, and more abilities asked for than the user has.
    Invalid,
    /// Before it was known: a full queue, a store that can't answer.
    Failed,
}

/// What can happen to tokens, as it is counted.
#[derive(Clone, Copy, Debug)]
pub enum TokenEvent {
    /// They were issued.
    Issued,
    /// They were revoked.
    Revoked,
    /// They were dead, and removed.
    Purged,
}

impl Metrics {
    /// Counters at zero.
    ///
    /// # Errors
    /// [`prometheus::Error`] if two of them had one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let name = |name: &str| format!("bearerd_{name}");
        let counters = |text: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name(text), help), &[label])?;
            registry.register(Box::new(counters.clone())).map(|()| counters)
        };
        let counter = |text: &str, help: &str| {
            let counter = IntCounter::new(name(text), help)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let histogram = |text: &str, help: &str, buckets: Vec<f64>| {
            let options = HistogramOpts::new(name(text), help).buckets(buckets);
            let histogram = Histogram::with_opts(options)?;
            registry.register(Box::new(histogram.clone())).map(|()| histogram)
        };
        let request_seconds = HistogramVec::new(
            HistogramOpts::new(
                name("http_request_duration_seconds"),
                "Seconds from a request to its answer, by method, route and status",
            )
            .buckets(vec![0.000_1, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0]),
            &["method", "route", "status"],
        )?;
        registry.register(Box::new(request_seconds.clone()))?;
        let queue_lengths = IntGaugeVec::new(
            Opts::new(name("queue_length"), "Jobs that wait, by queue"),
            &["queue"],
        )?;
        registry.register(Box::new(queue_lengths.clone()))?;
        let tokens_live = IntGaugeVec::new(
            Opts::new(name("tokens_live"), "Live tokens, as of the sweeper's last count"),
            &[],
        )?;
        registry.register(Box::new(tokens_live.clone()))?;
        let checks = counters(
            "token_checks_total",
            "Tokens checked: found in memory, looked up, or malformed",
            "outcome",
        )?;
        let metrics = Self {
            request_seconds,
            queue_lengths,
            tokens_live,
            hits: checks.with_label_values(&["hit"]),
            misses: checks.with_label_values(&["miss"]),
            malformed: checks.with_label_values(&["malformed"]),
            malformed_requests: counter(
                "malformed_requests_total",
                "Requests that could not be read as HTTP/1, of the whole process",
            )?,
            logins: counters("logins_total", "Logins, by outcome", "outcome")?,
            password_hash_seconds: histogram(
                "password_hash_duration_seconds",
                "Seconds that a password took to be checked or hashed",
                vec![0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0],
            )?,
            bcrypt_rounds: counter(
                "bcrypt_rounds_total",
                "Rounds of bcrypt, 2^cost for each hash",
            )?,
            commit_batch_size: histogram(
                "commit_batch_size",
                "Writes in one transaction",
                vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
            )?,
            queue_rejections: counters(
                "queue_rejections_total",
                "Jobs refused by a full queue",
                "queue",
            )?,
            token_events: counters(
                "token_events_total",
                "Tokens issued, revoked and purged",
                "event",
            )?,
            token_uses_dropped: counter(
                "token_uses_dropped_total",
                "Uses of a token that last_used_at does not show",
            )?,
            registry,
        };
        // What never happens is told as 0, so that its first time shows as a rise.
        for outcome in Login::ALL {
            metrics.logins.with_label_values(&[outcome.name()]);
        }
        for queue in Queue::ALL {
            metrics.queue_rejections.with_label_values(&[queue.name()]);
            metrics.queue_lengths.with_label_values(&[queue.name()]);
        }
        for event in TokenEvent::ALL {
            metrics.token_events.with_label_values(&[event.name()]);
        }
        Ok(metrics)
    }

    /// The times of a route's answers. `route` is a route's pattern or a word of the program's own,
    /// never a request's path, nor is `method` ever a request's unless it is a known one.
    pub fn request(&self, method: &str, route: &str, status: u16) -> Histogram {
        self.request_seconds.with_label_values(&[method, route, &status.to_string()])
    }

    /// Notes that a full queue refused a job.
    pub fn refused(&self, queue: Queue) {
        self.queue_rejections.with_label_values(&[queue.name()]).inc();
    }

    /// Notes how many wait in a queue.
    pub fn waiting(&self, queue: Queue, jobs: usize) {
        let jobs = i64::try_from(jobs).unwrap_or(i64::MAX);
        self.queue_lengths.with_label_values(&[queue.name()]).set(jobs);
    }

    /// Notes how a login ended.
    pub fn login(&self, outcome: Login) {
        self.logins.with_label_values(&[outcome.name()]).inc();
    }

    /// Notes how many tokens are live.
    pub fn live(&self, count: i64) {
        self.tokens_live.with_label_values::<&str>(&[]).set(count);
    }

    /// Counts an event of this many tokens.
    pub fn tokens(&self, event: TokenEvent, count: usize) {
        self.token_events.with_label_values(&[event.name()]).inc_by(count as u64);
    }

    /// Notes the time that hashing a password took.
    pub fn hashed(&self, time: Duration) {
        self.password_hash_seconds.observe(time.as_secs_f64());
    }

    /// Everything counted, in Prometheus's text format, version 0.0.4.
    pub fn text(&self) -> String {
        self.malformed_requests.inc_by(MALFORMED_REQUESTS.swap(0, Ordering::Relaxed));
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            log::error!("the metrics can't be written: {error}");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Login {
    const ALL: [Self; 5] =
        [Self::Success, Self::Refused, Self::Limited, Self::Invalid, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
        }
    }
}

impl TokenEvent {
    const ALL: [Self; 3] = [Self::Issued, Self::Revoked, Self::Purged];

    fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Revoked => "revoked",
            Self::Purged => "purged",
        }
    }
}

impl Queue {
    const ALL: [Self; 3] = [Self::Reads, Self::Writes, Self::Passwords];

    fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Passwords => "passwords",
        }
    }
}
