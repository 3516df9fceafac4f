//! Metrics for Prometheus. No label takes its value from a request, because clients could then create
//! series without limit: each value is a fixed word or a route's pattern.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::{
    Encoder, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder, register_histogram_vec_with_registry, register_histogram_with_registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};

/// Malformed requests that are not in a counter yet. They are counted for the whole process, because the
/// HTTP library reports them only to the log, which belongs to no server.
pub static MALFORMED_REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Lines missing from the log that are not in a counter yet. The log belongs to no server either.
pub static LOG_LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

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
    log_lines_dropped: IntCounter,
    /// Open connections of the server.
    #[cfg_attr(
        not(feature = "server"),
        allow(dead_code, reason = "an application has its own server")
    )]
    pub connections: IntGauge,
    connections_closed: IntCounterVec,
    logins: IntCounterVec,
    /// Seconds that checking or hashing a password took, without the wait for a thread.
    pub password_hash_seconds: Histogram,
    /// Rounds of bcrypt: a hash of cost 12 takes 4,096.
    pub bcrypt_rounds: IntCounter,
    /// Writes in one transaction. The histogram's count is the number of commits.
    pub commit_batch_size: Histogram,
    /// The size of the write-ahead log.
    wal_bytes: IntGauge,
    checkpoints: IntCounterVec,
    queue_rejections: IntCounterVec,
    queue_lengths: IntGaugeVec,
    token_events: IntCounterVec,
    /// Live tokens, as of the sweeper's last count. It is a vector without labels, so that it is absent
    /// until the first count.
    tokens_live: IntGaugeVec,
    /// Token uses missing from `last_used_at`, because too many were waiting or the store refused them.
    pub token_uses_dropped: IntCounter,
}

/// Declares an enum of a label's values, each with the word that Prometheus shows.
macro_rules! label {
    ($(#[$about:meta])* $label:ident { $($(#[$meaning:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug)]
        pub enum $label { $($(#[$meaning])* $value,)+ }

        impl $label {
            const WORDS: &[&str] = &[$($word),+];

            fn word(self) -> &'static str {
                match self { $(Self::$value => $word),+ }
            }
        }
    };
}

label! {
    /// A queue whose length and rejections are counted.
    Queue {
        /// Reads waiting for a reader of the store.
        Reads = "reads",
        /// Writes waiting for the store's writer.
        Writes = "writes",
        /// Passwords waiting for a hashing thread, or on one.
        Passwords = "passwords",
    }
}

label! {
    /// How a checkpoint of the write-ahead log ended.
    Checkpoint {
        /// All of the log was copied into the database.
        Complete = "complete",
        /// A part was left, which a reader still needs.
        Partial = "partial",
        /// The disk failed or was full.
        Failed = "failed",
    }
}

label! {
    /// Why the server closed a connection, or refused a new one.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "an application has its own server"))]
    CloseReason {
        /// It sent no request for too long.
        Idle = "idle",
        /// The head of a request did not arrive in time.
        SlowHead = "slow_head",
        /// The body of a request arrived too slowly.
        SlowBody = "slow_body",
        /// The client read an answer too slowly.
        SlowReader = "slow_reader",
        /// The client sent too much that was no request, or a body that nothing reads.
        Flood = "flood",
        /// It was given up for a new connection, because there were too many.
        Full = "full",
        /// It was new and refused, because there were too many and none could be given up.
        Refused = "refused",
    }
}

label! {
    /// How a login ended.
    Login {
        /// A token was issued.
        Success = "success",
        /// The email or the password was wrong, or the user is disabled.
        Refused = "refused",
        /// Too many attempts; the password was not checked.
        Limited = "limited",
        /// The password was right, but the request was invalid, such as more abilities than the user has.
        Invalid = "invalid",
        /// A queue was full, or the store could not answer.
        Failed = "failed",
    }
}

label! {
    /// A counted event in the life of a token.
    TokenEvent {
        /// It was issued.
        Issued = "issued",
        /// It was revoked.
        Revoked = "revoked",
        /// It was dead and was removed.
        Purged = "purged",
    }
}

impl Metrics {
    /// Metrics at zero.
    ///
    /// # Errors
    /// [`prometheus::Error`] if two metrics had the same name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("bearerd".to_owned()), None)?;
        let checks = register_int_counter_vec_with_registry!(
            "token_checks_total",
            "Token checks: hit (cached), miss (looked up) or malformed",
            &["outcome"],
            registry
        )?;
        let metrics = Self {
            request_seconds: register_histogram_vec_with_registry!(
                "http_request_duration_seconds",
                "Seconds from a request to its answer, by method, route and status",
                &["method", "route", "status"],
                vec![0.000_1, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0],
                registry
            )?,
            hits: checks.with_label_values(&["hit"]),
            misses: checks.with_label_values(&["miss"]),
            malformed: checks.with_label_values(&["malformed"]),
            malformed_requests: register_int_counter_with_registry!(
                "malformed_requests_total",
                "Requests that could not be parsed as HTTP/1, for the whole process",
                registry
            )?,
            log_lines_dropped: register_int_counter_with_registry!(
                "log_lines_dropped_total",
                "Lines missing from the log because it could not be written, for the whole process",
                registry
            )?,
            connections: register_int_gauge_with_registry!(
                "connections",
                "Open connections",
                registry
            )?,
            connections_closed: register_int_counter_vec_with_registry!(
                "connections_closed_total",
                "Connections that the server closed or refused, by reason",
                &["reason"],
                registry
            )?,
            logins: register_int_counter_vec_with_registry!(
                "logins_total",
                "Logins, by outcome",
                &["outcome"],
                registry
            )?,
            password_hash_seconds: register_histogram_with_registry!(
                "password_hash_duration_seconds",
                "Seconds that checking or hashing a password took",
                vec![0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0],
                registry
            )?,
            bcrypt_rounds: register_int_counter_with_registry!(
                "bcrypt_rounds_total",
                "Rounds of bcrypt, 2^cost for each hash",
                registry
            )?,
            commit_batch_size: register_histogram_with_registry!(
                "commit_batch_size",
                "Writes in one transaction",
                vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
                registry
            )?,
            wal_bytes: register_int_gauge_with_registry!(
                "wal_bytes",
                "The size of the write-ahead log",
                registry
            )?,
            checkpoints: register_int_counter_vec_with_registry!(
                "checkpoints_total",
                "Checkpoints of the write-ahead log, by result",
                &["result"],
                registry
            )?,
            queue_rejections: register_int_counter_vec_with_registry!(
                "queue_rejections_total",
                "Jobs refused by a full queue",
                &["queue"],
                registry
            )?,
            queue_lengths: register_int_gauge_vec_with_registry!(
                "queue_length",
                "Waiting jobs, by queue",
                &["queue"],
                registry
            )?,
            token_events: register_int_counter_vec_with_registry!(
                "token_events_total",
                "Tokens issued, revoked and purged",
                &["event"],
                registry
            )?,
            tokens_live: register_int_gauge_vec_with_registry!(
                "tokens_live",
                "Live tokens, as of the sweeper's last count",
                &[],
                registry
            )?,
            token_uses_dropped: register_int_counter_with_registry!(
                "token_uses_dropped_total",
                "Token uses missing from last_used_at",
                registry
            )?,
            registry,
        };
        // Create every series at 0, so that the first event shows as an increase.
        for outcome in Login::WORDS {
            metrics.logins.with_label_values(&[outcome]);
        }
        for result in Checkpoint::WORDS {
            metrics.checkpoints.with_label_values(&[result]);
        }
        for reason in CloseReason::WORDS {
            metrics.connections_closed.with_label_values(&[reason]);
        }
        for queue in Queue::WORDS {
            metrics.queue_rejections.with_label_values(&[queue]);
            metrics.queue_lengths.with_label_values(&[queue]);
        }
        for event in TokenEvent::WORDS {
            metrics.token_events.with_label_values(&[event]);
        }
        Ok(metrics)
    }

    /// The histogram of a route's response times. `route` must be a route's pattern or a fixed word, never a
    /// request's path. `method` must be a known method or a fixed word.
    pub fn request_histogram(&self, method: &str, route: &str, status: u16) -> Histogram {
        self.request_seconds.with_label_values(&[method, route, &status.to_string()])
    }

    /// Counts a connection that the server closed or refused.
    #[cfg_attr(
        not(feature = "server"),
        allow(dead_code, reason = "an application has its own server")
    )]
    pub fn count_closed_connection(&self, reason: CloseReason) {
        self.connections_closed.with_label_values(&[reason.word()]).inc();
    }

    /// Counts a job that a full queue refused.
    pub fn count_rejection(&self, queue: Queue) {
        self.queue_rejections.with_label_values(&[queue.word()]).inc();
    }

    /// Sets how many jobs wait in a queue.
    pub fn set_queue_length(&self, queue: Queue, jobs: usize) {
        let jobs = i64::try_from(jobs).unwrap_or(i64::MAX);
        self.queue_lengths.with_label_values(&[queue.word()]).set(jobs);
    }

    /// Sets the size of the write-ahead log.
    pub fn set_wal_bytes(&self, bytes: u64) {
        self.wal_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts a checkpoint by its result.
    pub fn count_checkpoint(&self, result: Checkpoint) {
        self.checkpoints.with_label_values(&[result.word()]).inc();
    }

    /// Counts a login by its outcome.
    pub fn count_login(&self, outcome: Login) {
        self.logins.with_label_values(&[outcome.word()]).inc();
    }

    /// Sets how many tokens are live.
    pub fn set_live_tokens(&self, count: i64) {
        self.tokens_live.with_label_values::<&str>(&[]).set(count);
    }

    /// Counts an event that happened to `count` tokens.
    pub fn count_token_events(&self, event: TokenEvent, count: usize) {
        self.token_events.with_label_values(&[event.word()]).inc_by(count as u64);
    }

    /// All metrics in Prometheus's text format, version 0.0.4.
    pub fn text(&self) -> String {
        self.malformed_requests.inc_by(MALFORMED_REQUESTS.swap(0, Ordering::Relaxed));
        self.log_lines_dropped.inc_by(LOG_LINES_DROPPED.swap(0, Ordering::Relaxed));
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            log::error!("can't write the metrics: {error}");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}
