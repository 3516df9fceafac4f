//! The token that a guard accepted, as a handler's argument.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use crate::auth::{self, Actor, AuthorizedToken};
use crate::http::response::error::ApiError;

/// The token that the guard accepted, as a handler's argument. It dereferences to a
/// [`Session`](auth::Session): `current.user`, `current.token`, `current.abilities`, and
/// `current.token_can("posts:write")`.
///
/// On a route without a guard, or whose guard requires nothing, the request is answered with 401.
pub struct CurrentToken(AuthorizedToken);

impl CurrentToken {
    /// The token as the one that requests a change.
    pub(crate) fn actor(&self) -> Actor<'_> {
        Actor::Token(&self.0)
    }
}

impl Deref for CurrentToken {
    type Target = AuthorizedToken;

    fn deref(&self) -> &AuthorizedToken {
        &self.0
    }
}

impl FromRequest for CurrentToken {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let bearer = request.extensions().get::<AuthorizedToken>().cloned();
        ready(bearer.map(Self).ok_or_else(|| auth::Error::Unauthenticated.into()))
    }
}
