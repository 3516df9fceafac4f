//! Metrics for Prometheus. No label takes its value from a request, because clients could then create
//! series without limit: each value is a fixed word or a route's pattern.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// Malformed requests that are not in a counter yet. They are counted for the whole process, because the
/// HTTP library reports them only to the log, which belongs to no server.
pub static MALFORMED_REQUESTS: AtomicU64 = AtomicU64::new(0);

/// The metrics of one server. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Seconds from the head of a request to the head of its response, by method, route and status.
    request_seconds: HistogramVec,
    /// Tokens found in the token cache.
    pub hits: IntCounter,
    /// Tokens looked up in the store.
    pub misses: IntCounter,
    /// Malformed tokens, refused without a look-up.
    pub malformed: IntCounter,
    malformed_requests: IntCounter,
    logins: IntCounterVec,
    /// Seconds that checking or hashing a password took, without the wait for a thread.
    pub password_hash_seconds: Histogram,
    /// Rounds of bcrypt: a hash of cost 12 takes 4,096.
    pub bcrypt_rounds: IntCounter,
    /// Writes in one transaction. The histogram's count is the number of commits.
    pub commit_batch_size: Histogram,
    queue_rejections: IntCounterVec,
    queue_lengths: IntGaugeVec,
    token_events: IntCounterVec,
    /// Live tokens, as of the sweeper's last count. It is a vector without labels, so that it is absent
    /// until the first count.
    tokens_live: IntGaugeVec,
    /// Token uses missing from `last_used_at`, because too many were waiting or the store refused them.
    pub token_uses_dropped: IntCounter,
}

/// A queue whose length and rejections are counted.
#[derive(Clone, Copy, Debug)]
pub enum Queue {
    /// Reads waiting for a reader of the store.
    Reads,
    /// Writes waiting for the store's writer.
    Writes,
    /// Passwords waiting for a hashing thread, or on one.
    Passwords,
}

/// How a login ended.
#[derive(Clone, Copy, Debug)]
pub enum Login {
    /// A token was issued.
    Success,
    /// The email or the password was wrong, or the user is disabled.
    Refused,
    /// Too many attempts; the password was not checked.
    Limited,
    /// The password was right, but the request was invalid, such as more abilities than the user has.
    Invalid,
    /// A queue was full, or the store could not answer.
    Failed,
}

/// A counted event in the life of a token.
#[derive(Clone, Copy, Debug)]
pub enum TokenEvent {
    /// It was issued.
    Issued,
    /// It was revoked.
    Revoked,
    /// It was dead and was removed.
    Purged,
}

impl Metrics {
    /// Metrics at zero.
    ///
    /// # Errors
    /// [`prometheus::Error`] if two metrics had the same name.
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
            Opts::new(name("queue_length"), "Waiting jobs, by queue"),
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
            "Token checks: hit (cached), miss (looked up) or malformed",
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
                "Requests that could not be parsed as HTTP/1, for the whole process",
            )?,
            logins: counters("logins_total", "Logins, by outcome", "outcome")?,
            password_hash_seconds: histogram(
                "password_hash_duration_seconds",
                "Seconds that checking or hashing a password took",
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
                "Token uses missing from last_used_at",
            )?,
            registry,
        };
        // Create every series at 0, so that the first event shows as an increase.
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

    /// The histogram of a route's response times. `route` must be a route's pattern or a fixed word, never a
    /// request's path. `method` must be a known method or a fixed word.
    pub fn request_histogram(&self, method: &str, route: &str, status: u16) -> Histogram {
        self.request_seconds.with_label_values(&[method, route, &status.to_string()])
    }

    /// Counts a job that a full queue refused.
    pub fn count_rejection(&self, queue: Queue) {
        self.queue_rejections.with_label_values(&[queue.name()]).inc();
    }

    /// Sets how many jobs wait in a queue.
    pub fn set_queue_length(&self, queue: Queue, jobs: usize) {
        let jobs = i64::try_from(jobs).unwrap_or(i64::MAX);
        self.queue_lengths.with_label_values(&[queue.name()]).set(jobs);
    }

    /// Counts a login by its outcome.
    pub fn count_login(&self, outcome: Login) {
        self.logins.with_label_values(&[outcome.name()]).inc();
    }

    /// Sets how many tokens are live.
    pub fn set_live_tokens(&self, count: i64) {
        self.tokens_live.with_label_values::<&str>(&[]).set(count);
    }

    /// Counts an event that happened to `count` tokens.
    pub fn count_token_events(&self, event: TokenEvent, count: usize) {
        self.token_events.with_label_values(&[event.name()]).inc_by(count as u64);
    }

    /// Records how long checking or hashing a password took.
    pub fn observe_password_hash(&self, time: Duration) {
        self.password_hash_seconds.observe(time.as_secs_f64());
    }

    /// All metrics in Prometheus's text format, version 0.0.4.
    pub fn text(&self) -> String {
        self.malformed_requests.inc_by(MALFORMED_REQUESTS.swap(0, Ordering::Relaxed));
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            log::error!("can't write the metrics: {error}");
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
