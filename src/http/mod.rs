//! HTTP: the route table (`routes`), the guard before each route, the handlers behind it, and
//! the one file that turns errors into answers.

mod address;
mod admin;
mod answer;
mod credentials;
mod error;
mod explain;
mod extract;
mod extras;
mod form;
mod guard;
mod health;
mod oauth;
mod openapi;
mod pages;
mod paging;
mod routes;
mod timing;
mod tls;
mod tokens;
mod users;
mod verify;
mod viewer;

pub use address::TrustedProxies;
pub use credentials::Places;
pub use extract::Current;
pub use extras::Extras;
pub use guard::{Guard, Needs};
pub use oauth::IssuerUrl;
pub use pages::Demo;
pub use routes::{Site, configure};
pub use tls::{Tls, TlsError};

use std::time::Duration;

/// The most that a request's body may hold, in bytes.
const BODY_LIMIT: usize = 64 * 1024;
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
