//! Bearer-token authentication in one binary and one SQLite file.
//!
//! A client posts an email and a password to `POST /api/tokens` and gets a token once; it sends
//! `Authorization: Bearer …` with each request; `DELETE /api/tokens/current` logs it out. Tokens
//! carry abilities, expire, are revoked, and an actor sweeps the dead ones away.
//!
//! # In an application
//!
//! An actix-web application opens bearerd, mounts its routes where it likes, puts guards before its
//! own, and asks in a handler what the token can do. `examples/posts.rs` is a whole one.
//!
//! ```no_run
//! use actix_web::{App, HttpServer, web};
//! use bearerd::{Bearerd, Config, CurrentToken, Requirement};
//!
//! async fn greet(current: CurrentToken) -> String {
//!     let may = if current.token_can("posts:write") { "may" } else { "may not" };
//!     format!("{} {may} write", current.user.name)
//! }
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let bearerd = Bearerd::open(&Config::default())?;
//!     let inside = bearerd.clone();
//!     HttpServer::new(move || {
//!         App::new()
//!             .service(web::scope("/auth").configure(inside.routes()))
//!             .service(
//!                 web::scope("/posts")
//!                     .wrap(inside.guard(Requirement::Ability("posts:read")))
//!                     .route("", web::get().to(greet)),
//!             )
//!     })
//!     .bind("127.0.0.1:8000")?
//!     .run()
//!     .await?;
//!     bearerd.close().await;
//!     Ok(())
//! }
//! ```
//!
//! # Features
//!
//! | feature | what it brings |
//! | --- | --- |
//! | `cli` (default) | the command line, and `server` |
//! | `server` | a server of bearerd's own: [`app::Server`], HTTPS, the demo page and the viewer of the API |
//!
//! An application that has a server needs neither: `default-features = false`.
//!
//! # Where things are
//!
//! Data flows one way: `http` → `auth` → `store`; the actors stand beside `auth`.
//!
//! | module | lives there |
//! | --- | --- |
//! | [`domain`] | the rules: tokens, abilities, access, expiry, emails, passwords. Pure |
//! | [`config`] | the settings, read once |
//! | `store` | the SQLite file: readers, the writer with its group commit, the queries |
//! | `actors` | the token sweeper, the usage recorder, the password hasher |
//! | [`auth`] | the application service, the verdict cache, the limits on logins and on issued tokens |
//! | `http` | the route table, the guard, the handlers, errors as answers |
//! | `metrics` | what is counted; each module counts its own |
//! | [`app`] | what puts these together, and takes them apart again |
//! | `cli` | the command line, and the log |

mod actors;
pub mod app;
pub mod auth;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod domain;
mod http;
mod metrics;
mod store;

pub use app::Bearerd;
pub use config::Config;
pub use domain::Requirement;
pub use http::{ApiError, CurrentToken, Guard};
