//! The handlers of the routes, a file for each resource.

pub(super) mod explain;
pub(super) mod health;
pub(super) mod oauth;
pub(super) mod tokens;
pub(super) mod user;
pub(super) mod users;
pub(super) mod verify;
