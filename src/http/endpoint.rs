//! A row of the route table.

use actix_web::Route;
use actix_web::http::Method;

use super::openapi::Operation;
use crate::domain::Requirement;

/// A route of the service: a method, a path, and what belongs to them.
pub(super) struct Endpoint {
    /// `None` for every method.
    pub(super) method: Option<Method>,
    pub(super) path: &'static str,
    /// The requirement of its guard.
    pub(super) requirement: Requirement,
    pub(super) docs: Operation,
    pub(super) route: fn() -> Route,
}

impl Endpoint {
    /// The method that metrics count its requests under.
    pub(super) fn label(&self) -> &str {
        self.method.as_ref().map_or("any", Method::as_str)
    }

    /// The kind of resource that the last id of the path names: a user, for `/api/users/{id}`.
    pub(super) fn resource(&self) -> Option<&'static str> {
        let (collection, _) = self.path.rsplit_once("s/{")?;
        collection.rsplit('/').next()
    }
}
