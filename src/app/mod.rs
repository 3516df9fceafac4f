//! The composition root: builds store → actors → auth → routes, and shuts them down in reverse order. The
//! command line, embedding applications and tests all construct bearerd here, and nowhere else.

#[cfg(feature = "server")]
mod connections;
#[cfg(feature = "server")]
mod malformed_requests;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod signals;
#[cfg(feature = "server")]
mod tls;

use std::sync::Arc;
use std::time::SystemTime;

use actix_web::rt::System;
use actix_web::web::ServiceConfig;

use crate::actors::{Hasher, Schedule, Sweeper, UsageRecorder};
use crate::auth::{Auth, AuthParts, Error, IssueLimiter, LoginLimiter, Purged, TokenCache};
use crate::config::{Config, TrustedProxies};
use crate::domain::{Clock, Requirement, Timestamp};
use crate::http::{self, ApiState, Guard, IssuerUrl, TokenSources};
use crate::metrics::Metrics;
use crate::store::{Quota, Store};

#[cfg(feature = "server")]
#[doc(hidden)]
pub use connections::Limits;
#[cfg(feature = "server")]
pub use connections::TooFewDescriptors;
#[cfg(feature = "server")]
#[doc(hidden)]
pub use malformed_requests::{is_malformed_request, peer};
#[cfg(feature = "server")]
pub use server::{Demo, ServeError, Server, StartError};
#[cfg(feature = "server")]
pub use signals::{hangup_signals, shutdown_signal, survive_signals};

pub use crate::store::OpenError;

/// bearerd embedded in an application: the service on an open database, its actors, and routes and guards
/// for the application's own server. Clones share it.
#[derive(Clone)]
pub struct Bearerd(Arc<Inner>);

struct Inner {
    services: Services,
    sweeper: Sweeper,
    state: ApiState,
}

impl Bearerd {
    /// Opens the database and starts the actors. Needs a running actix system, such as that of
    /// `#[actix_web::main]`.
    ///
    /// Set `issuer` to the URL under which the routes are mounted, such as
    /// `https://app.example.org/auth`. Introspection (`iss`), the OAuth metadata and the OpenAPI
    /// description contain it. The settings for `listen`, the certificate, CORS and the log have no effect
    /// here: the application does these things itself.
    ///
    /// # Errors
    /// [`OpenError`], whose message is one line that says what to do.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        Self::open_at(config, system_clock())
    }

    /// Like [`Bearerd::open`], with another clock than the operating system's.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open_at(config: &Config, clock: Clock) -> Result<Self, OpenError> {
        let services = Services::open(config, clock.clone())?;
        services.store.clear_backup_leftovers();
        let schedule = Schedule {
            interval: config.sweep_interval,
            retention: config.retention,
            ttl: config.token_ttl,
        };
        let sweeper = Sweeper::start(services.store.clone(), schedule, clock);
        let state = ApiState {
            auth: services.auth.clone(),
            proxies: TrustedProxies::new(config.trusted_proxies.clone()),
            sources: TokenSources::new(config.token_header.as_ref(), config.verify_basic_auth),
            issuer: IssuerUrl(config.issuer()),
            description: Arc::new(http::describe(config.issuer.clone())),
        };
        Ok(Self(Arc::new(Inner { services, sweeper, state })))
    }

    /// bearerd's routes without its pages, for the `configure` of an [`actix_web::App`] or a scope. They
    /// include `/metrics`, `/healthz` and `/readyz`, which need no token.
    pub fn routes(&self) -> impl Fn(&mut ServiceConfig) + Clone + 'static {
        let bearerd = self.clone();
        move |config| bearerd.0.state.configure(config)
    }

    /// A guard for a route or a scope of the application. It lets requests through that meet a
    /// requirement, and answers all others with bearerd's own error responses.
    pub fn guard(&self, requirement: Requirement) -> Guard {
        self.0.state.guard(requirement)
    }

    /// The application service: users, tokens, checks.
    pub fn auth(&self) -> &Auth {
        &self.0.services.auth
    }

    /// Removes dead tokens now, instead of at the next scheduled sweep, and returns how many.
    ///
    /// # Errors
    /// The error of the chunk that failed; earlier chunks stay removed. [`Error::Unavailable`] if bearerd
    /// is closed before the sweep ends.
    pub async fn sweep(&self) -> Result<Purged, Error> {
        Ok(self.0.sweeper.sweep().await?)
    }

    /// Writes the recorded uses of tokens to the database.
    #[doc(hidden)]
    pub async fn note_uses(&self) {
        self.0.services.usage.flush().await;
    }

    /// Stops the sweeper, writes the recorded uses of tokens and closes the database. Later calls fail.
    pub async fn close(&self) {
        self.0.sweeper.stop();
        self.0.services.close().await;
    }
}

/// The service on an open database, without a server, for a command.
#[doc(hidden)]
pub struct Services {
    /// The application service.
    pub auth: Auth,
    store: Store,
    usage: UsageRecorder,
}

impl Services {
    /// Opens the database and starts the actors. Must run within [`block_on`].
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(config: &Config, clock: Clock) -> Result<Self, OpenError> {
        // Checked first, because wrong settings must not create a database.
        let forward_auth_headers = config.naming()?;
        let metrics = Metrics::new().map_err(|error| OpenError::Open {
            path: "metrics".into(),
            cause: error.to_string(),
        })?;
        let store = Store::open(&config.database, metrics.clone())?;
        let (invalidation, ttl) = (store.invalidation(), config.token_ttl);
        let usage = UsageRecorder::start(store.clone(), metrics.clone());
        let auth = Auth::new(AuthParts {
            store: store.clone(),
            tokens: TokenCache::new(config.cache_size, invalidation, ttl, clock.clone()),
            hasher: Hasher::start(config.bcrypt_cost, metrics.clone()),
            limiter: LoginLimiter::new(config.login_attempts_per_minute),
            issues: IssueLimiter::new(),
            quota: Quota { most: config.max_tokens_per_user, ttl: config.token_ttl },
            rules: config.rules.clone(),
            forward_auth_headers,
            usage: usage.clone(),
            clock,
            ttl,
            email_change: config.email_change,
            prefix: config.token_prefix.clone(),
            retention: config.retention,
            metrics,
        });
        Ok(Self { auth, store, usage })
    }

    /// Writes the recorded uses of tokens and closes the database.
    pub async fn close(&self) {
        self.usage.flush().await;
        self.store.close().await;
    }
}

/// Runs a future, and the actors that it starts, on this thread.
#[doc(hidden)]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    System::new().block_on(future)
}

/// The operating system's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| Timestamp::from(SystemTime::now()))
}
