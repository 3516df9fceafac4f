//! The guard: middleware that finds out whose token a request has, and calls the route only if the token has
//! what the route requires. If the requirement depends on the request, the handler calls [`authenticate`] or
//! [`authorize`] itself.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::header::HeaderMap;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest};
use futures_util::future::{Either, LocalBoxFuture};

use super::request::credentials::TokenSources;
use super::response::error::ApiError;
use super::response::timing::{Timed, Timings};
use crate::auth::{self, Auth, AuthorizedToken, Check, Session};
use crate::domain::{PresentedToken, Requirement};

/// The session of the token that a request sends, for a route whose guard requires nothing.
///
/// # Errors
/// 401 without a live token; 500 or 503 if the look-up fails.
pub(super) async fn authenticate(
    request: &HttpRequest,
    auth: &Auth,
) -> Result<Arc<Session>, ApiError> {
    let unknown = || ApiError::from(auth::Error::Unauthenticated);
    let sources = request.app_data::<Data<TokenSources>>().ok_or_else(unknown)?;
    let session = match check(request.headers(), sources, auth) {
        Ok(Either::Left(session)) => Ok(session),
        // Boxed to keep the future small for requests whose token is cached.
        Ok(Either::Right(presented)) => Box::pin(auth.look_up(&presented)).await,
        Err(error) => Err(error),
    };
    session.map_err(|error| sources.challenge(error))
}

/// The token of a request, if it has what is required, for a route whose guard requires nothing.
///
/// # Errors
/// Those of [`authenticate`], and 403 if the token lacks the requirement.
pub(super) async fn authorize(
    request: &HttpRequest,
    auth: &Auth,
    requirement: Requirement,
) -> Result<AuthorizedToken, ApiError> {
    Ok(AuthorizedToken::admit(authenticate(request, auth).await?, requirement)?)
}

/// The session of a request with these headers if its token is cached, and otherwise the token to look up.
fn check(
    headers: &HeaderMap,
    sources: &TokenSources,
    auth: &Auth,
) -> Result<Either<Arc<Session>, PresentedToken>, auth::Error> {
    let token = sources.token(headers).ok_or(auth::Error::Unauthenticated)?;
    match auth.check(&token) {
        Check::Live(session) => Ok(Either::Left(session)),
        Check::Refused => Err(auth::Error::InvalidToken),
        Check::Unknown(presented) => Ok(Either::Right(presented)),
    }
}

/// The middleware.
#[derive(Clone)]
pub struct Guard {
    pub(super) auth: Auth,
    pub(super) requirement: Requirement,
    pub(super) sources: TokenSources,
    /// The method and the pattern under which metrics count the requests.
    pub(super) route: (&'static str, &'static str),
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
        let Self { auth, requirement, sources, route: (method, pattern) } = self.clone();
        let timings = Rc::new(Timings::new(auth.metrics().clone(), method, pattern));
        ready(Ok(Guarded { service: Rc::new(service), auth, requirement, sources, timings }))
    }
}

/// A route behind the guard.
pub struct Guarded<S> {
    service: Rc<S>,
    auth: Auth,
    requirement: Requirement,
    sources: TokenSources,
    timings: Rc<Timings>,
}

/// The route's answer if the token is cached, a refusal, or the answer after a look-up.
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
        if self.requirement == Requirement::Nothing {
            // An outer guard may have accepted a token. The route must not see it.
            request.extensions_mut().remove::<AuthorizedToken>();
            return Either::Left(self.service.call(request));
        }
        let admitted = match check(request.headers(), &self.sources, &self.auth) {
            Ok(Either::Left(session)) => admit(&request, session, &self.requirement),
            Ok(Either::Right(presented)) => {
                return Either::Right(Either::Right(self.look_up(request, presented)));
            }
            Err(error) => Err(error),
        };
        match admitted {
            Ok(()) => Either::Left(self.service.call(request)),
            Err(error) => {
                let error = self.sources.challenge(error);
                Either::Right(Either::Left(ready(Err(error.into()))))
            }
        }
    }

    fn look_up(
        &self,
        request: ServiceRequest,
        presented: PresentedToken,
    ) -> LocalBoxFuture<'static, Answer<S>> {
        let (service, auth) = (self.service.clone(), self.auth.clone());
        let (requirement, sources) = (self.requirement.clone(), self.sources.clone());
        Box::pin(async move {
            let session = auth.look_up(&presented).await;
            session
                .and_then(|session| admit(&request, session, &requirement))
                .map_err(|error| sources.challenge(error))?;
            service.call(request).await
        })
    }
}

/// Passes the token on to the route, if it has what is required.
fn admit(
    request: &ServiceRequest,
    session: Arc<Session>,
    requirement: &Requirement,
) -> Result<(), auth::Error> {
    let bearer = AuthorizedToken::admit(session, requirement.clone())?;
    request.extensions_mut().insert(bearer);
    Ok(())
}
