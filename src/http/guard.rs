//! The bearer guard: middleware that finds out who sends a request, and lets the request through to its
//! route only with what the route requires. A handler whose requirement depends on the request calls
//! [`authenticate`] or [`authorize`] itself.

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
/// 401 without a live token; 503 if the store is busy and the like.
pub(super) async fn authenticate(
    request: &HttpRequest,
    auth: &Auth,
) -> Result<Arc<Session>, ApiError> {
    let unknown = || ApiError::from(auth::Error::Unauthenticated);
    let sources = request.app_data::<Data<TokenSources>>().ok_or_else(unknown)?;
    let session = match check(request.headers(), sources, auth) {
        Ok(Either::Left(session)) => Ok(session),
        // Boxed, so that the future of a request whose token is cached stays small.
        Ok(Either::Right(presented)) => Box::pin(auth.look_up(&presented)).await,
        Err(error) => Err(error),
    };
    session.map_err(|error| sources.challenge(error))
}

/// The bearer of a request that has what is required, for a route whose guard requires nothing.
///
/// # Errors
/// Those of [`authenticate`], and 403 without what is required.
pub(super) async fn authorize(
    request: &HttpRequest,
    auth: &Auth,
    requirement: Requirement,
) -> Result<AuthorizedToken, ApiError> {
    Ok(AuthorizedToken::admit(authenticate(request, auth).await?, requirement)?)
}

/// Who sends a request with these headers, as far as it is known without waiting: a session, or a token
/// that must be looked up.
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
    auth: Auth,
    requirement: Requirement,
    /// Where it looks for the token.
    sources: TokenSources,
    /// The method and the pattern that its requests are counted under.
    route: (&'static str, &'static str),
}

impl Guard {
    /// Lets a request through if the token in one of these `sources` has what is required, and counts the
    /// requests under the route's method and pattern.
    pub(super) fn new(
        auth: Auth,
        requirement: Requirement,
        sources: TokenSources,
        route: (&'static str, &'static str),
    ) -> Self {
        Self { auth, requirement, sources, route }
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
        if self.requirement == Requirement::Nothing {
            return Either::Left(self.pass_nobody(request));
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

    /// Lets a request through for nobody: whoever another guard let in, around this one, is not whom
    /// this one answers for.
    fn pass_nobody(&self, request: ServiceRequest) -> S::Future {
        request.extensions_mut().remove::<AuthorizedToken>();
        self.service.call(request)
    }
}

/// Hands the bearer on to the route, if they have what is required.
fn admit(
    request: &ServiceRequest,
    session: Arc<Session>,
    requirement: &Requirement,
) -> Result<(), auth::Error> {
    let bearer = AuthorizedToken::admit(session, requirement.clone())?;
    request.extensions_mut().insert(bearer);
    Ok(())
}
