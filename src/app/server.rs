//! bearerd's own server: the listener, HTTPS, the pages and the shutdown.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::spawn;
use actix_web::web::ServiceConfig;
use futures_util::future::{Either, select};
use futures_util::stream::{Stream, StreamExt as _};

use super::connections::{self, Limits, Listening, Options, TooFewDescriptors};
use super::tls::{Tls, TlsError};
use super::{Bearerd, OpenError};
use crate::auth::{Actor, Auth, NewUser};
use crate::config::{Config, ConfigError, TrustedProxies};
use crate::domain::{Abilities, Clock, Email, Name, Password};
use crate::http::{CorsHeaders, serve_pages};

pub use crate::http::Demo;

/// Seconds that requests in progress may take at shutdown.
const GRACE: u64 = 7;
/// How long the rest of a shutdown may take. Together with [`GRACE`] it fits into the ten seconds after
/// which service managers kill a process.
const CLOSING: Duration = Duration::from_secs(2);

/// Why a server did not start. Each message is one line for the person who started it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The settings contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate or its key can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operating system allows too few open files.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// The server can't listen on its address.
    #[error("can't listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        cause: io::Error,
    },
    /// A demo shows its password to everybody, so it must not listen on an address that others can reach.
    #[error("a demo listens on a loopback address only, such as 127.0.0.1:8080, not on {0}")]
    DemoExposed(SocketAddr),
    /// The demo's user can't be created.
    #[error("can't create the demo's user: {0}")]
    Demo(String),
}

/// Why a running server failed.
#[derive(Debug, thiserror::Error)]
#[error("the server failed: {0}")]
pub struct ServeError(io::Error);

/// A running server.
pub struct Server {
    bearerd: Bearerd,
    listening: Listening,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
}

impl Server {
    /// Starts a server. It answers requests by the time this returns. Needs a running actix system.
    ///
    /// With `demo`, it creates that user, and its page shows the user's password to everybody.
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn start(
        config: &Config,
        clock: Clock,
        demo: Option<Demo>,
    ) -> Result<Self, StartError> {
        let limits = Limits::new(config.max_connections as usize);
        Self::start_with(config, clock, demo, limits).await
    }

    /// Like [`Self::start`], with other limits of connections than those of the settings.
    ///
    /// # Errors
    /// [`StartError`]
    #[doc(hidden)]
    pub async fn start_with(
        config: &Config,
        clock: Clock,
        demo: Option<Demo>,
        mut limits: Limits,
    ) -> Result<Self, StartError> {
        if demo.is_some() && !config.listen.ip().is_loopback() {
            return Err(StartError::DemoExposed(config.listen));
        }
        let tls = match config.tls_files()? {
            Some((cert, key)) => Some(Arc::new(Tls::read(cert, key)?)),
            None => None,
        };
        limits.fit(connections::fit(limits.connections)?);
        // Before the database is opened, because a second server on the same address must not touch it.
        let cannot = |cause| StartError::Listen { address: config.listen, cause };
        let listener = connections::bind(config.listen).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;

        let bearerd = Bearerd::open_at(&Config { listen: address, ..config.clone() }, clock)?;
        if let Some(demo) = &demo {
            let created = create_demo_user(bearerd.auth(), demo).await;
            created.map_err(|error| StartError::Demo(error.to_string()))?;
        }
        let cors = CorsHeaders {
            https: tls.is_some(),
            origins: config.cors_origins.clone(),
            token_header: config.token_header.clone(),
        };
        let options = Options {
            tls: tls.as_ref().map(|tls| tls.server_config(config.http2)).transpose()?,
            limits,
            proxies: TrustedProxies::new(config.trusted_proxies.clone()),
            metrics: bearerd.auth().metrics().clone(),
            grace: GRACE,
        };
        let inside = bearerd.clone();
        let routes = move |routes: &mut ServiceConfig| {
            cors.clone().around(routes, |routes| {
                routes.configure(inside.routes());
                serve_pages(routes, demo.as_ref(), inside.auth());
            });
        };
        let listening = connections::serve(listener, options, routes).await.map_err(cannot)?;
        Ok(Self { bearerd, listening, address, tls })
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's URL: scheme, address and port.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Reloads the certificate and its key at each of these signals. If the files can't be used, the server
    /// keeps the old certificate and logs the error.
    pub fn reload_at(&self, signals: impl Stream<Item = ()> + 'static) {
        let tls = self.tls.clone();
        spawn(signals.for_each(move |()| {
            match tls.as_ref().map(|tls| tls.reload()) {
                Some(Ok(())) => log::info!("certificate reloaded"),
                Some(Err(error)) => {
                    log::error!("certificate not reloaded; the old one stays: {error}")
                }
                None => log::info!("no certificate to reload: HTTPS is off"),
            }
            std::future::ready(())
        }));
    }

    /// The service behind this server.
    pub fn bearerd(&self) -> &Bearerd {
        &self.bearerd
    }

    /// Serves until `stop` is ready. Then it finishes the requests in progress, stops the sweeper, writes
    /// the recorded uses of tokens and closes the database. A server that fails before `stop` is ready is
    /// shut down in the same way.
    ///
    /// # Errors
    /// [`ServeError`], after the shutdown, if the server failed.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let ended = match select(pin!(stop), &mut self.listening.ended).await {
            Either::Left(_) => {
                log::info!("shutting down");
                self.listening.stop().await;
                self.listening.ended.await
            }
            Either::Right((ended, _)) => {
                ended.map(|result| result.and(Err(io::Error::other("it stopped by itself"))))
            }
        };
        // The outer result is an error if the server's task panicked.
        let result = ended.unwrap_or_else(|panic| Err(panic.into())).map_err(ServeError);
        if let Err(error) = &result {
            log::error!("{error}");
        }
        if tokio::time::timeout(CLOSING, self.bearerd.close()).await.is_err() {
            log::error!(
                "the database did not close in time; last_used_at of some tokens is not updated"
            );
        }
        result
    }
}

async fn create_demo_user(auth: &Auth, demo: &Demo) -> Result<(), Box<dyn std::error::Error>> {
    let account = NewUser {
        name: Name::parse("Demo User")?,
        email: Email::parse(&demo.email)?,
        password: Password::chosen(demo.password.clone())?,
        abilities: Abilities::all(),
        admin: false,
    };
    auth.create_user(Actor::Operator, account).await?;
    Ok(())
}
