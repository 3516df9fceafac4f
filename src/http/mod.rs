//! HTTP: the route table (`routes`), the guard of each route, the handlers (`api`), the parts of requests
//! (`request`) and answers (`response`), the fields of both (`fields`), the description of the API (`openapi`),
//! and the pages (`site`). Only `response::error` turns errors into answers.

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

/// The most bytes of a request's body.
const BODY_LIMIT: usize = 64 * 1024;
/// The longest time in which a client must send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
