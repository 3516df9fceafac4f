//! The bearer guard: middleware that lets a request through to its route only with what the route
//! needs. RFC 6750, section 2.1, says how a token is sent.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{Error, HttpMessage};
use futures_util::future::{Either, LocalBoxFuture};

use super::error::ApiError;
use super::timing::{Timed, Timings};
use crate::auth::{self, Auth, Bearer, Check, Session};

pub use crate::domain::Needs;

/// The bearer of a request that must have what it `needs`, where no guard stands before the route.
pub(super) async fn authorize(
    headers: &HeaderMap,
    auth: &Auth,
    needs: Needs,
) -> Result<Bearer, auth::Error> {
    let token = bearer_token(headers).ok_or(auth::Error::Unauthenticated)?;
    let session = match auth.check(token) {
        Check::Live(session) => session,
        Check::Refused => return Err(auth::Error::InvalidToken),
        Check::Unknown(presented) => auth.look_up(&presented).await?,
    };
    Bearer::admit(session, needs)
}

/// The middleware.
#[derive(Clone)]
pub struct Guard {
    auth: Auth,
    needs: Needs,
    /// The method and the pattern that its requests are counted under.
    route: (String, &'static str),
}

impl Guard {
    /// Lets through what has what the route `needs`, and counts its requests under the route's
    /// method and pattern.
    pub fn on_route(auth: Auth, needs: Needs, method: &Method, pattern: &'static str) -> Self {
        Self { auth, needs, route: (method.to_string(), pattern) }
    }
}

impl<S, B> Transform<S, ServiceRequest> for Guard
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = Guarded<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let (auth, needs) = (self.auth.clone(), self.needs);
        let (method, pattern) = self.route.clone();
        let timings = Timings::new(auth.metrics().clone(), method, pattern);
        ready(Ok(Guarded { service: Rc::new(service), auth, needs, timings: Rc::new(timings) }))
    }
}

/// A route behind the guard.
pub struct Guarded<S> {
    service: Rc<S>,
    auth: Auth,
    needs: Needs,
    timings: Rc<Timings>,
}

/// The route's answer; or a refusal; or whichever follows a look-up.
type Passage<S> = Either<
    <S as Service<ServiceRequest>>::Future,
    Either<Ready<Answer<S>>, LocalBoxFuture<'static, Answer<S>>>,
>;
type Answer<S> = Result<<S as Service<ServiceRequest>>::Response, Error>;

impl<S, B> Service<ServiceRequest> for Guarded<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = Timed<Passage<S>>;

    actix_web::dev::forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let start = Instant::now();
        Timed::new(self.pass(request), start, self.timings.clone())
    }
}

impl<S, B> Guarded<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
{
    fn pass(&self, request: ServiceRequest) -> Passage<S> {
        let check = match self.needs {
            Needs::Nothing => return Either::Left(self.service.call(request)),
            _ => bearer_token(request.headers()).map(|token| self.auth.check(token)),
        };
        let refuse = |error: auth::Error| {
            Either::Right(Either::Left(ready(Err(ApiError::from(error).into()))))
        };
        match check {
            Some(Check::Live(session)) => match admit(&request, session, self.needs) {
                Ok(()) => Either::Left(self.service.call(request)),
                Err(error) => refuse(error),
            },
            None => refuse(auth::Error::Unauthenticated),
            Some(Check::Refused) => refuse(auth::Error::InvalidToken),
            Some(Check::Unknown(presented)) => {
                let (auth, service, needs) = (self.auth.clone(), self.service.clone(), self.needs);
                Either::Right(Either::Right(Box::pin(async move {
                    let session = auth.look_up(&presented).await.map_err(ApiError::from)?;
                    admit(&request, session, needs).map_err(ApiError::from)?;
                    service.call(request).await
                })))
            }
        }
    }
}

/// Hands the bearer on to the route, if they may do what the route needs.
fn admit(request: &ServiceRequest, session: Arc<Session>, needs: Needs) -> Result<(), auth::Error> {
    request.extensions_mut().insert(Bearer::admit(session, needs)?);
    Ok(())
}

/// The token that a request sends as `Authorization: Bearer …`: the scheme in any case, any run of
/// spaces after it, trailing blanks dropped. `None` for no such header, another scheme, no token,
/// or more than one header.
fn bearer_token(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION);
    let value = values.next()?.as_bytes();
    if values.next().is_some() {
        return None;
    }
    let (scheme, rest) = value.split_at_checked(6)?;
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer") && rest.starts_with(b" ") && !token.is_empty())
        .then_some(token)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_read_from_one_bearer_header_alone() {
        let read = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
            }
            bearer_token(&headers).map(<[u8]>::to_vec)
        };
        for (values, token) in [
            (vec![b"Bearer abc".as_slice()], Some("abc")),
            (vec![b"bEARER    abc \t"], Some("abc")),
            (vec![b"Bearer a b"], Some("a b")),
            (vec![], None),
            (vec![b""], None),
            (vec![b"Bearer"], None),
            (vec![b"Bearer "], None),
            (vec![b"Bearer   \t "], None),
            (vec![b"Bearerabc"], None),
            (vec![b"Bearer\tabc"], None),
            (vec![b"Basic abc"], None),
            (vec![b"Token abc"], None),
            (vec![b"\xff\xfe\xff\xfe\xff\xfe abc"], None),
            (vec![b"Bearer abc", b"Bearer abc"], None),
            (vec![b"Bearer abc", b"Basic abc"], None),
        ] {
            assert_eq!(read(&values).as_deref(), token.map(str::as_bytes), "{values:?}");
        }
    }
}
