//! The bearer guard: middleware that lets a request through to its route only with what the route
//! needs.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest};
use futures_util::future::{Either, LocalBoxFuture};

use super::api::verify;
use super::request::credentials::TokenSources;
use super::response::error::ApiError;
use super::response::timing::{Timed, Timings};
use crate::auth::{self, Auth, AuthorizedToken, Check, Requirement, Session};

pub use crate::domain::Needs;

/// The bearer of a request that must have what it `needs`, where no guard stands before the route.
pub(super) async fn authorize(
    request: &HttpRequest,
    auth: &Auth,
    needs: Needs,
) -> Result<AuthorizedToken, auth::Error> {
    let sent = request
        .app_data::<Data<TokenSources>>()
        .and_then(|sources| sources.token(request.headers()));
    let token = sent.ok_or(auth::Error::Unauthenticated)?;
    AuthorizedToken::admit(auth.authenticate(&token).await?, needs)
}

/// The middleware.
#[derive(Clone)]
pub struct Guard {
    auth: Auth,
    needs: Needs,
    /// Where it looks for the token.
    sources: TokenSources,
    /// The method and the pattern that its requests are counted under.
    route: (&'static str, &'static str),
}

impl Guard {
    /// Lets through what has what the route `needs`, with the token in one of these `sources`, and
    /// counts its requests under the route's method and pattern.
    pub(super) fn new(
        auth: Auth,
        needs: Needs,
        sources: TokenSources,
        route: (&'static str, &'static str),
    ) -> Self {
        Self { auth, needs, sources, route }
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
        let Self { auth, needs, sources, route: (method, pattern) } = self.clone();
        let timings = Rc::new(Timings::new(auth.metrics().clone(), method, pattern));
        ready(Ok(Guarded { service: Rc::new(service), auth, needs, sources, timings }))
    }
}

/// A route behind the guard.
pub struct Guarded<S> {
    service: Rc<S>,
    auth: Auth,
    needs: Needs,
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
        let asked = match self.needs {
            Needs::Nothing => return Either::Left(self.pass_nobody(request)),
            Needs::Asked => match verify::requirement(&request, &self.auth) {
                Ok(Requirement::Nothing) => return Either::Left(self.pass_nobody(request)),
                Ok(asked) => asked,
                Err(error) => return Self::refuse(error),
            },
            _ => Requirement::ANY_TOKEN,
        };
        let demand = Demand { needs: self.needs, asked };
        let token = self.sources.token(request.headers());
        match token.map(|token| self.auth.check(&token)) {
            Some(Check::Live(session)) => match demand.admit(&request, session) {
                Ok(()) => Either::Left(self.service.call(request)),
                Err(error) => Self::refuse(self.sources.challenge(error)),
            },
            None => Self::refuse(self.sources.challenge(auth::Error::Unauthenticated)),
            Some(Check::Refused) => Self::refuse(self.sources.challenge(auth::Error::InvalidToken)),
            Some(Check::Unknown(presented)) => {
                let (auth, service) = (self.auth.clone(), self.service.clone());
                let sources = self.sources.clone();
                Either::Right(Either::Right(Box::pin(async move {
                    let session = auth.look_up(&presented).await;
                    session
                        .and_then(|session| demand.admit(&request, session))
                        .map_err(|error| sources.challenge(error))?;
                    service.call(request).await
                })))
            }
        }
    }

    /// Lets a request through for nobody: whoever another guard let in, around this one, is not whom
    /// this one answers for.
    fn pass_nobody(&self, request: ServiceRequest) -> S::Future {
        request.extensions_mut().remove::<AuthorizedToken>();
        self.service.call(request)
    }

    fn refuse(error: ApiError) -> Passage<S> {
        Either::Right(Either::Left(ready(Err(error.into()))))
    }
}

/// What one request needs: what its route does, and what it asks about.
struct Demand {
    needs: Needs,
    asked: Requirement,
}

impl Demand {
    /// Hands the bearer on to the route, if they have what is needed.
    fn admit(&self, request: &ServiceRequest, session: Arc<Session>) -> Result<(), auth::Error> {
        self.asked.check(&session)?;
        request.extensions_mut().insert(AuthorizedToken::admit(session, self.needs)?);
        Ok(())
    }
}
