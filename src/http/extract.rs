use std::future::{Ready, ready};
use std::ops::Deref;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use super::error::ApiError;
use crate::auth::{self, Session};

/// The token that the guard let through, and its owner.
///
/// On a route without a guard, or one that needs nothing, there is none: the answer is a 401.
pub struct Current(Arc<Session>);

impl Deref for Current {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl FromRequest for Current {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let session = request.extensions().get::<Arc<Session>>().cloned();
        ready(session.map(Self).ok_or_else(|| auth::Error::Unauthenticated.into()))
    }
}
