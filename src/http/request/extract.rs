//! What handlers take as an argument: the bearer whom the guard let through.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use crate::auth::{self, Bearer, By};
use crate::http::response::error::ApiError;

/// The bearer whom the guard let through: a handler takes it as an argument. It reads as a
/// [`Session`](auth::Session): `current.user`, `current.token`, `current.abilities`, and
/// `current.token_can("posts:write")`.
///
/// On a route without a guard, or one that needs nothing, there is none: the answer is a 401.
pub struct Current(Bearer);

impl Current {
    /// On the bearer's word.
    pub(in crate::http) fn by(&self) -> By<'_> {
        By::Bearer(&self.0)
    }
}

impl Deref for Current {
    type Target = Bearer;

    fn deref(&self) -> &Bearer {
        &self.0
    }
}

impl FromRequest for Current {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let bearer = request.extensions().get::<Bearer>().cloned();
        ready(bearer.map(Self).ok_or_else(|| auth::Error::Unauthenticated.into()))
    }
}
