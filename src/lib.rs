//! Bearer-token authentication in one binary and one SQLite file.
//!
//! A client posts an email and a password to `POST /api/tokens` and gets a token once; it sends
//! `Authorization: Bearer …` with each request; `DELETE /api/tokens/current` logs it out. Tokens
//! carry abilities, expire, are revoked, and an actor sweeps the dead ones away.
//!
//! # Where things are
//!
//! Data flows one way: `http` → `auth` → `store`; the actors stand beside `auth`.
//!
//! | module | lives there |
//! | --- | --- |
//! | [`domain`] | the rules: tokens, abilities, expiry, emails, passwords. Pure |
//! | [`config`] | the settings, read once |
//! | [`store`] | the SQLite file: readers, the writer with its group commit, a file of queries a table |
//! | [`actors`] | the token sweeper, the usage recorder, the password hasher |
//! | [`auth`] | the application service, the verdict cache, the login limits |
//! | [`http`] | the route table, the guard, the handlers, errors as answers |
//! | [`metrics`] | what is counted; each module counts its own |
//! | [`app`] | what puts these together, and takes them apart again |
//! | [`cli`] | the command line |
//!
//! # A server in a program of one's own
//!
//! ```no_run
//! use bearerd::{app::App, config::Config};
//!
//! bearerd::app::block_on(async {
//!     let config = Config { listen: ([127, 0, 0, 1], 0).into(), ..Config::default() };
//!     let app = App::start(&config, bearerd::app::system_clock(), None).await?;
//!     println!("listening on {}", app.address());
//!     app.run_until(bearerd::app::shutdown_signal()).await;
//!     Ok::<_, bearerd::app::StartError>(())
//! })
//! # .ok();
//! ```

pub mod actors;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod domain;
pub mod http;
pub mod metrics;
pub mod store;
