//! The composition root: store → actors → auth → server, and the same in reverse at the end. The
//! only constructor; the command line, embedding applications and every test use it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use actix_web::dev::ServerHandle;
use actix_web::rt::{System, spawn, task::JoinHandle};
use actix_web::{App as Routes, HttpServer};
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::actors::{Hasher, Schedule, Sweeper, UsageRecorder};
use crate::auth::{Auth, By, LoginLimiter, NewUser, Parts, Verdicts};
use crate::config::{Config, ConfigError};
use crate::domain::{Abilities, Clock, Email, Name, Password, Timestamp};
use crate::http::{self, Extras, IssuerUrl, Places, Site, Tls, TlsError, TrustedProxies};
use crate::metrics::Metrics;
use crate::store::{OpenError, Store};

pub use crate::http::Demo;

/// Seconds that requests under way get at shutdown.
const GRACE: u64 = 7;
/// What the rest of a shutdown gets, so that all of it fits into the ten seconds that service
/// managers grant.
const CLOSING: Duration = Duration::from_secs(2);
/// For how long a connection without a request is kept: longer than a reverse proxy keeps its own
/// (nginx 60 s), so that it is the proxy that closes it, and no request meets a closed one.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Why a server did not start. Each is one line for the person who started it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The settings don't go together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate, or its key, can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A demo, which shows its password to anybody, on an address that others reach.
    #[error("a demo listens on a loopback address only, such as 127.0.0.1:8080, not on {0}")]
    DemoExposed(SocketAddr),
    /// The demo's user can't be created.
    #[error("can't create the demo's user: {0}")]
    Demo(String),
}

/// The service on an open database, without a server: what a command needs.
pub struct Services {
    /// The application service.
    pub auth: Auth,
    store: Store,
    usage: UsageRecorder,
}

impl Services {
    /// Opens the database and starts the actors beside it. Needs a running [`block_on`].
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(config: &Config, clock: Clock) -> Result<Self, OpenError> {
        let metrics = Metrics::new().map_err(|error| OpenError::Open {
            path: "metrics".into(),
            cause: error.to_string(),
        })?;
        let verdicts = Arc::new(Verdicts::default());
        let store = Store::open(&config.database, verdicts.clone(), metrics.clone())?;
        let usage = UsageRecorder::start(store.clone());
        let auth = Auth::new(Parts {
            store: store.clone(),
            verdicts,
            hasher: Hasher::start(config.bcrypt_cost, metrics.clone()),
            limiter: LoginLimiter::new(config.login_attempts),
            rules: config.rules.clone(),
            usage: usage.clone(),
            clock,
            ttl: config.token_ttl,
            prefix: config.token_prefix.clone(),
            retain: config.retain,
            metrics,
        });
        Ok(Self { auth, store, usage })
    }

    /// Writes down what is still in memory, and closes the database.
    pub async fn close(self) {
        self.usage.flush().await;
        self.store.close().await;
    }
}

/// A running server.
pub struct App {
    services: Services,
    sweeper: Sweeper,
    server: ServerHandle,
    ended: JoinHandle<io::Result<()>>,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
}

impl App {
    /// Starts a server; it listens, and answers, when this returns. Needs a running [`block_on`].
    ///
    /// With a `demo`, creates that user, and the page shows their password to anybody.
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn start(
        config: &Config,
        clock: Clock,
        demo: Option<Demo>,
    ) -> Result<Self, StartError> {
        if demo.is_some() && !config.listen.ip().is_loopback() {
            return Err(StartError::DemoExposed(config.listen));
        }
        let tls = match config.tls_files()? {
            Some((cert, key)) => Some(Arc::new(Tls::read(cert, key)?)),
            None => None,
        };
        // Before the database is opened: a second server on the same address must not touch the database.
        let cannot = |cause| StartError::Listen { address: config.listen, cause };
        let listener = TcpListener::bind(config.listen).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;

        let services = Services::open(config, clock.clone())?;
        if let Some(demo) = &demo {
            create_demo_user(&services.auth, demo).await?;
        }
        let schedule = Schedule {
            interval: config.sweep_interval,
            retain: config.retain,
            ttl: config.token_ttl,
        };
        let sweeper = Sweeper::start(services.store.clone(), schedule, clock);

        let site = Site {
            auth: services.auth.clone(),
            proxies: TrustedProxies::new(config.trusted_proxies.clone()),
            places: Places::new(config.token_header.as_ref(), config.basic_auth),
            issuer: IssuerUrl(config.issuer()),
            demo,
        };
        let extras = Extras { https: tls.is_some(), origins: config.cors_origins.clone() };
        let server = HttpServer::new(move || {
            Routes::new().configure(|routes| {
                extras.clone().around(routes, |routes| http::configure(routes, &site));
            })
        })
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(GRACE)
        .disable_signals();
        let server = match &tls {
            Some(tls) => server.listen_rustls_0_23(listener, tls.server_config()?),
            None => server.listen(listener),
        };
        let server = server.map_err(cannot)?.run();
        let handle = server.handle();
        Ok(Self { services, sweeper, server: handle, ended: spawn(server), address, tls })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients find it: the scheme, the address and the port.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Reads the certificate and its key again at each of these signals. Files that are no good
    /// change nothing, and the log says why.
    pub fn reload_at(&self, signals: impl Stream<Item = ()> + 'static) {
        let tls = self.tls.clone();
        spawn(signals.for_each(move |()| {
            match tls.as_ref().map(|tls| tls.reread()) {
                Some(Ok(())) => log::info!("the certificate has been read again"),
                Some(Err(error)) => log::error!("the certificate stays as it was: {error}"),
                None => log::info!("without HTTPS there is nothing to read again"),
            }
            std::future::ready(())
        }));
    }

    /// The application service.
    pub fn auth(&self) -> &Auth {
        &self.services.auth
    }

    /// The token sweeper.
    pub fn sweeper(&self) -> &Sweeper {
        &self.sweeper
    }

    /// The usage recorder.
    pub fn usage(&self) -> &UsageRecorder {
        &self.services.usage
    }

    /// Serves until `stop` is ready; then finishes the requests under way, stops the sweeper,
    /// writes down what is still in memory and closes the database.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        stop.await;
        log::info!("shutting down");
        self.server.stop(true).await;
        if let Ok(Err(error)) = self.ended.await {
            log::error!("the server ended badly: {error}");
        }
        let closing = async {
            self.sweeper.stop().await;
            self.services.close().await;
        };
        if tokio::time::timeout(CLOSING, closing).await.is_err() {
            log::error!("the database is held up; the last uses of some tokens are not noted");
        }
    }
}

async fn create_demo_user(auth: &Auth, demo: &Demo) -> Result<(), StartError> {
    let broken = |rule: &dyn std::fmt::Display| StartError::Demo(rule.to_string());
    let account = NewUser {
        name: Name::parse("Demo User").map_err(|error| broken(&error))?,
        email: Email::parse(&demo.email).map_err(|error| broken(&error))?,
        password: Password::chosen(demo.password.clone()).map_err(|error| broken(&error))?,
        abilities: Abilities::all(),
        admin: false,
    };
    auth.create_user(By::Operator, account).await.map(drop).map_err(|error| broken(&error))
}

/// Runs a future on this thread, with the actors that it starts.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    System::new().block_on(future)
}

/// The operating system's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| Timestamp::from(SystemTime::now()))
}

/// Ready when somebody asks the process to end: Ctrl-C, or `SIGTERM`. Both are caught from this call
/// on, not from the first poll, so that one that comes early is not lost. Needs a running
/// [`block_on`].
pub fn shutdown_signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let signals = {
        use tokio::signal::unix::{SignalKind, signal};
        [SignalKind::terminate(), SignalKind::interrupt()].map(signal)
    };
    async {
        #[cfg(unix)]
        if let [Ok(mut terminate), Ok(mut interrupt)] = signals {
            let terminate = std::pin::pin!(terminate.recv());
            let interrupt = std::pin::pin!(interrupt.recv());
            futures_util::future::select(terminate, interrupt).await;
            return;
        }
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// An item at each `SIGHUP`, which from this call on does not end the process. Needs a running
/// [`block_on`].
pub fn hangup_signals() -> impl Stream<Item = ()> {
    #[cfg(unix)]
    let mut hangups = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
    stream::poll_fn(move |_context| {
        #[cfg(unix)]
        if let Some(hangups) = &mut hangups {
            return hangups.poll_recv(_context);
        }
        Poll::Pending
    })
}
