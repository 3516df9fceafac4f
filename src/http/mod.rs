//! HTTP: the route table (`routes`), the guard before each route, the handlers behind it, and
//! the one file that turns errors into answers.

mod api;
mod guard;
mod openapi;
#[cfg(feature = "server")]
mod pages;
mod request;
mod response;
mod routes;
#[cfg(feature = "server")]
mod tls;
#[cfg(feature = "server")]
mod viewer;

pub use api::oauth::IssuerUrl;
pub use guard::Guard;
pub use openapi::Description;
pub use request::credentials::TokenSources;
pub use request::extract::Current;
pub use response::error::ApiError;
pub use routes::Site;

#[cfg(feature = "server")]
pub use {
    pages::{Demo, serve_pages},
    response::cors::Extras,
    tls::{Tls, TlsError},
};

use std::time::Duration;

/// The most that a request's body may hold, in bytes.
const BODY_LIMIT: usize = 64 * 1024;
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
