//! What settings add to answers: with HTTPS, that browsers are to stay with it; with CORS, who may
//! read them. Where nothing is set, nothing stands before the routes.
//!
//! Not by actix-cors: it passes by what a guard refuses, so that no script would see a 401.

use std::rc::Rc;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderName, HeaderValue, ORIGIN, STRICT_TRANSPORT_SECURITY, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, HttpResponse, ResponseError};

use crate::config::{Origins, TokenHeader};
use crate::http::request::original_request::VERIFY;

/// A year, in which a browser asks by HTTPS alone (RFC 6797).
const STAY: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// What scripts of another origin may read, beside what the Fetch standard lets them.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "WWW-Authenticate, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset",
);
/// What they may send. There are no cookies, so credentials of the browser's are never allowed.
const MAY_SEND: [(HeaderName, HeaderValue); 2] = [
    (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE")),
    // Ten minutes, for which a browser doesn't ask again.
    (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600")),
];

type Headers = Vec<(HeaderName, HeaderValue)>;

/// What answers carry beside what their routes give them.
#[derive(Clone, Debug, Default)]
pub struct CorsHeaders {
    /// Whether the server speaks HTTPS.
    pub https: bool,
    /// Whose scripts may read the answers under `/api`.
    pub origins: Origins,
    /// The header that may hold a token, beside `Authorization`.
    pub token_header: Option<TokenHeader>,
}

impl CorsHeaders {
    /// Adds `routes`, and these cors to all their answers.
    pub fn around(self, config: &mut ServiceConfig, routes: impl FnOnce(&mut ServiceConfig)) {
        if !self.https && self.origins == Origins::None {
            return routes(config);
        }
        let cors = Rc::new(self);
        let add =
            move |request: ServiceRequest, next: Next<BoxBody>| add(cors.clone(), request, next);
        config.service(web::scope("").configure(routes).wrap(from_fn(add)));
    }

    /// What the answer to this request carries, and whether the request was a preflight that is
    /// answered by it.
    fn of(&self, request: &ServiceRequest) -> (Headers, bool) {
        let mut headers = Vec::new();
        if self.https {
            headers.push((STRICT_TRANSPORT_SECURITY, STAY));
        }
        // A proxy takes any 2xx for permission, so no preflight is answered at /api/verify, nor below
        // it, where Envoy puts the path of the original request.
        let path = request.path();
        let is_shared = path.starts_with("/api/") && !path.starts_with(VERIFY);
        if self.origins == Origins::None || !is_shared {
            return (headers, false);
        }
        if self.origins != Origins::Any {
            headers.push((VARY, HeaderValue::from_static("Origin")));
        }
        let Some(origin) = self.allowed(request.headers().get(ORIGIN)) else {
            return (headers, false);
        };
        headers.push((ACCESS_CONTROL_ALLOW_ORIGIN, origin));
        let asks = request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let is_preflight = asks && request.method() == Method::OPTIONS;
        match is_preflight {
            true => {
                headers.extend(MAY_SEND);
                headers.push((ACCESS_CONTROL_ALLOW_HEADERS, self.sendable()));
            }
            false => headers.push((ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)),
        }
        (headers, is_preflight)
    }

    /// The headers that scripts may send.
    fn sendable(&self) -> HeaderValue {
        const ALWAYS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type");
        let more = self.token_header.as_ref().map(|header| {
            HeaderValue::try_from(format!("Authorization, Content-Type, {}", header.as_str()))
        });
        more.and_then(Result::ok).unwrap_or(ALWAYS)
    }

    /// The origin to allow, if that of the request is.
    fn allowed(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        let origin = origin?;
        match &self.origins {
            Origins::None => None,
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::Listed(list) => {
                list.iter().any(|listed| listed.as_str() == origin).then(|| origin.clone())
            }
        }
    }
}

async fn add(
    cors: Rc<CorsHeaders>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, Error> {
    let (headers, is_preflight) = cors.of(&request);
    let answer = match is_preflight {
        true => Ok(request.into_response(HttpResponse::NoContent())),
        false => next.call(request).await,
    };
    match answer {
        Ok(mut answer) => {
            append(answer.response_mut(), &headers);
            Ok(answer)
        }
        Err(error) => Err(Refusal { error, headers }.into()),
    }
}

fn append(answer: &mut HttpResponse, headers: &Headers) {
    for (name, value) in headers {
        answer.headers_mut().append(name.clone(), value.clone());
    }
}

/// What a guard refused, which becomes an answer only further out.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct Refusal {
    error: Error,
    headers: Headers,
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.error.as_response_error().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = self.error.error_response();
        append(&mut answer, &self.headers);
        answer
    }
}
