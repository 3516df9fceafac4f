//! HTTP: the route table (`routes`), the guard before each route, the handlers behind it (`api`), what
//! they read (`request`) and answer (`response`), the fields of both (`fields`), the description of the API
//! (`openapi`), and the pages (`site`). One file, `response::error`, turns errors into answers.

mod api;
mod endpoint;
mod fields;
mod guard;
mod openapi;
mod request;
mod response;
mod routes;
#[cfg(feature = "server")]
mod site;

pub use api::oauth::IssuerUrl;
pub use guard::Guard;
pub use request::credentials::TokenSources;
pub use request::extract::CurrentToken;
pub use response::error::ApiError;
pub use routes::{ApiState, describe};

#[cfg(feature = "server")]
pub use {
    response::cors::CorsHeaders,
    site::pages::{Demo, serve_pages},
};

use std::time::Duration;

/// The most that a request's body may hold, in bytes.
const BODY_LIMIT: usize = 64 * 1024;
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
