//! Answers: JSON, users, errors, CORS, and the metric of their duration.

#[cfg(feature = "server")]
pub(super) mod cors;
pub(super) mod error;
pub(super) mod json;
pub(super) mod timing;
pub(super) mod user;
