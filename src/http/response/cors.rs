//! Headers that settings add to all answers: `Strict-Transport-Security` with HTTPS, and the headers of CORS.
//! Without these settings there is no middleware.
//!
//! actix-cors is not used: it adds no headers to a guard's refusal, so that scripts could not read a 401.

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

/// Browsers use only HTTPS for a year (RFC 6797).
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// The headers that scripts of other origins may read besides those that the Fetch standard allows.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "WWW-Authenticate, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset",
);
/// The answer to a preflight. The server has no cookies, so the browser's credentials are never allowed.
const PREFLIGHT: [(HeaderName, HeaderValue); 2] = [
    (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE")),
    // The browser sends no further preflight for ten minutes.
    (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600")),
];

type Headers = Vec<(HeaderName, HeaderValue)>;

/// The settings that decide which headers are added to answers.
#[derive(Clone, Debug, Default)]
pub struct CorsHeaders {
    /// Whether the server uses HTTPS.
    pub https: bool,
    /// The origins whose scripts may read the answers under `/api`.
    pub origins: Origins,
    /// The header that may hold a token besides `Authorization`.
    pub token_header: Option<TokenHeader>,
}

impl CorsHeaders {
    /// Adds `routes`, and the headers to all their answers.
    pub fn around(self, config: &mut ServiceConfig, routes: impl FnOnce(&mut ServiceConfig)) {
        if !self.https && self.origins == Origins::None {
            return routes(config);
        }
        let cors = Rc::new(self);
        let add =
            move |request: ServiceRequest, next: Next<BoxBody>| add(cors.clone(), request, next);
        config.service(web::scope("").configure(routes).wrap(from_fn(add)));
    }

    /// The headers to add to the answer to this request, and whether they answer it: it is an allowed
    /// preflight.
    fn of(&self, request: &ServiceRequest) -> (Headers, bool) {
        let mut headers = Vec::new();
        if self.https {
            headers.push((STRICT_TRANSPORT_SECURITY, HSTS));
        }
        // A proxy lets a request pass after any 2xx of /api/verify, so no preflight is answered there, nor
        // below it, where Envoy appends the path of the original request.
        // Decoded, as the routes read it: `/api/%76erify` is `/api/verify`.
        let path = request.match_info().as_str();
        let is_shared = path.starts_with("/api/") && !path.starts_with(VERIFY);
        if self.origins == Origins::None || !is_shared {
            return (headers, false);
        }
        if self.origins != Origins::Any {
            headers.push((VARY, HeaderValue::from_static("Origin")));
        }
        let Some(origin) = self.allowed_origin(request.headers().get(ORIGIN)) else {
            return (headers, false);
        };
        headers.push((ACCESS_CONTROL_ALLOW_ORIGIN, origin));
        let is_preflight = request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if is_preflight {
            headers.extend(PREFLIGHT);
            headers.push((ACCESS_CONTROL_ALLOW_HEADERS, self.allowed_headers()));
        } else {
            headers.push((ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED));
        }
        (headers, is_preflight)
    }

    /// The headers that scripts may send.
    fn allowed_headers(&self) -> HeaderValue {
        const ALWAYS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type");
        let more = self.token_header.as_ref().map(|header| {
            HeaderValue::try_from(format!("Authorization, Content-Type, {}", header.as_str()))
        });
        more.and_then(Result::ok).unwrap_or(ALWAYS)
    }

    /// The value of `Access-Control-Allow-Origin`. `None` if the request's origin is not allowed.
    fn allowed_origin(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
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

/// A guard's refusal with the headers to add. actix turns it into an answer after all middleware.
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
