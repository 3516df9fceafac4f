//! What is put into a response: JSON bodies, errors, how long the response took, and CORS.

#[cfg(feature = "server")]
pub(super) mod cors;
pub(super) mod error;
pub(super) mod json;
pub(super) mod timing;
