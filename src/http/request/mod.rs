//! The parts of a request: the token, the client's address, the body, the query, and the original request
//! that a reverse proxy asks about.

pub(super) mod body;
pub(super) mod client_address;
pub(super) mod credentials;
pub(super) mod extract;
pub(super) mod original_request;
pub(super) mod paging;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// The value of a header that is sent exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name);
    values.next().filter(|_| values.next().is_none())
}
