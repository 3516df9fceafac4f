//! Bearer-token authentication in one binary and one SQLite file.
//!
//! A client logs in with an email and a password at `POST /api/tokens` and gets a token. It sends the token
//! with each request, as `Authorization: Bearer …`. `DELETE /api/tokens/current` logs it out. Tokens have
//! abilities, expire and can be revoked. Dead tokens are removed in the background.
//!
//! # In an application
//!
//! An actix-web application opens bearerd, mounts bearerd's routes under any path, and puts guards before its
//! own routes. Handlers can check what the token may do. `examples/posts.rs` is a complete application.
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
//! | `server` | bearerd's own server: [`app::Server`], HTTPS, the demo page and Swagger UI |
//!
//! An application with its own server needs neither: `default-features = false`.
//!
//! # Where things are
//!
//! Calls go one way: `http` → `auth` → `store`. `auth` and `app` also call the actors.
//!
//! | module | contents |
//! | --- | --- |
//! | [`domain`] | types and rules without I/O: tokens, abilities, access rules, expiry, emails, passwords |
//! | [`config`] | the settings |
//! | `store` | the SQLite file: the connection pool for reads, the writer with group commit, the queries |
//! | `actors` | the token sweeper, the usage recorder, the password hasher |
//! | [`auth`] | the application service, the token cache, the limits on logins and on issued tokens |
//! | `http` | the routes, the guard, the handlers, the error responses |
//! | `metrics` | the metrics, which all modules update |
//! | [`app`] | the start and the shutdown of all parts |
//! | `cli` | the command line and the log |

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
