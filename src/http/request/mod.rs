//! What is read from a request: the token, the client's address, the body, the query, and the request
//! that a reverse proxy asks about.

pub(super) mod body;
pub(super) mod client_address;
pub(super) mod credentials;
pub(super) mod extract;
pub(super) mod original_request;
pub(super) mod paging;
