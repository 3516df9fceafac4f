//! Errors as answers. This is the only place that chooses the status, the code, the message and the headers
//! of an error. A new error does not compile until it has its row.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use super::json::json;
use crate::auth;
use crate::domain::ValidationErrors;
use crate::http::{BODY_LIMIT, BODY_TIMEOUT};

/// Why a request was not carried out. An application's handlers can return it too: `?` turns an error of
/// [`Auth`](auth::Auth) into the answer that bearerd's own routes give.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The service refused or failed.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// No route has this path.
    #[error("no route {0}")]
    NoRoute(String),
    /// The path has no route for this method.
    #[error("no {method} for {path}")]
    MethodNotAllowed {
        /// The method of the request.
        method: String,
        /// The path of the request.
        path: String,
        /// The methods that the path has routes for.
        allow: HeaderValue,
    },
    /// The request can't be read.
    #[error("{0}")]
    Malformed(String),
    /// The body is over the limit.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The body has the wrong media type. The fields are the name of the right one, and the type itself.
    #[error("the body is not {0}")]
    UnsupportedType(&'static str, &'static str),
    /// A form lacks a field that RFC 7009 or RFC 7662 requires.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// A refusal by a route that accepts HTTP Basic too.
    #[error(transparent)]
    BasicToo(Box<ApiError>),
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTimeout,
}

/// What a handler returns.
pub(crate) type Answer = Result<HttpResponse, ApiError>;

/// The body of an error.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody<'a> {
    /// For people.
    #[schema(value_type = String)]
    message: Cow<'a, str>,
    /// For programs. It does not change.
    #[schema(pattern = "^[a-z_]+$")]
    code: &'static str,
    /// For OAuth clients (RFC 6749, section 5.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    error: Option<&'static str>,
    /// The errors of each field. Only with 422.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = std::collections::BTreeMap<String, Vec<String>>, required = false)]
    errors: Option<&'a ValidationErrors>,
}

impl ApiError {
    /// The status, the stable code for programs, and the message for people. No message has the cause of
    /// a failure inside the server.
    #[deny(clippy::wildcard_enum_match_arm)]
    #[rustfmt::skip] // A row a line.
    fn row(&self) -> (StatusCode, &'static str, Cow<'_, str>) {
        use StatusCode as Status;
        use auth::Error;
        match self {
            Self::Auth(error) => match error {
                Error::Unauthenticated => (Status::UNAUTHORIZED, "unauthenticated", "Unauthenticated.".into()),
                Error::InvalidToken => (Status::UNAUTHORIZED, "invalid_token", "Unauthenticated.".into()),
                Error::WrongCredentials => (Status::UNAUTHORIZED, "invalid_credentials", "The provided credentials are incorrect.".into()),
                Error::InsufficientScope(_) => (Status::FORBIDDEN, "insufficient_scope", "Invalid ability provided.".into()),
                Error::NoRule => (Status::FORBIDDEN, "no_access_rule", "No access rule lets this request pass.".into()),
                Error::EmailChangeDisabled => (Status::FORBIDDEN, "email_change_disabled", "Only an administrator can change your email. Send the present one to keep it.".into()),
                Error::TooManyAttempts { .. } => (Status::TOO_MANY_REQUESTS, "too_many_attempts", "Too Many Attempts.".into()),
                Error::NotFound(what) => (Status::NOT_FOUND, "not_found", format!("The {what} could not be found.").into()),
                Error::Unclear(text) => (Status::BAD_REQUEST, "invalid_request", text.into()),
                Error::Invalid(errors) => (Status::UNPROCESSABLE_ENTITY, "validation_failed", errors.summary().into()),
                Error::Conflict => (Status::CONFLICT, "conflict", "Another change was made at the same time. Try again.".into()),
                Error::Busy => (Status::SERVICE_UNAVAILABLE, "overloaded", "Service Unavailable".into()),
                Error::Unavailable(_) => (Status::SERVICE_UNAVAILABLE, "store_unavailable", "Service Unavailable".into()),
                Error::Internal(_) => (Status::INTERNAL_SERVER_ERROR, "server_error", "Server Error".into()),
            },
            Self::NoRoute(path) => (Status::NOT_FOUND, "route_not_found",
                format!("The route {} could not be found.", path.trim_start_matches('/')).into()),
            Self::MethodNotAllowed { method, path, allow } => (Status::METHOD_NOT_ALLOWED, "method_not_allowed", format!(
                "The {method} method is not supported for route {}. Supported methods: {}.",
                path.trim_start_matches('/'),
                allow.to_str().unwrap_or_default(),
            ).into()),
            Self::Malformed(text) => (Status::BAD_REQUEST, "invalid_request", text.into()),
            Self::InvalidRequest(text) => (Status::BAD_REQUEST, "invalid_request", (*text).into()),
            Self::BodyTooLarge => (Status::PAYLOAD_TOO_LARGE, "payload_too_large",
                format!("The request body must not be larger than {BODY_LIMIT} bytes.").into()),
            Self::UnsupportedType(what, media_type) => (Status::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type",
                format!("The request body must be {what}, sent with Content-Type: {media_type}.").into()),
            Self::BodyTimeout => (Status::REQUEST_TIMEOUT, "request_timeout",
                format!("The request body must arrive within {} seconds.", BODY_TIMEOUT.as_secs()).into()),
            Self::BasicToo(refusal) => refusal.row(),
        }
    }

    pub(crate) fn body(&self) -> ErrorBody<'_> {
        let (_, code, message) = self.row();
        let error = matches!(self, Self::InvalidRequest(_)).then_some(code);
        let errors = match self {
            Self::Auth(auth::Error::Invalid(errors)) => Some(errors),
            _ => None,
        };
        ErrorBody { message, code, error, errors }
    }

    /// The stable code, by which programs tell errors apart.
    pub(crate) fn code(&self) -> &'static str {
        self.row().1
    }

    /// The headers that the answer has because of this error.
    pub(crate) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        use auth::Error;
        let challenge = |text| vec![(WWW_AUTHENTICATE, HeaderValue::from_static(text))];
        match self {
            Self::Auth(Error::Unauthenticated | Error::WrongCredentials) => {
                challenge(r#"Bearer realm="bearerd""#)
            }
            Self::Auth(Error::InvalidToken) => {
                challenge(r#"Bearer realm="bearerd", error="invalid_token""#)
            }
            Self::Auth(Error::InsufficientScope(scope)) => {
                let challenge = format!(
                    r#"Bearer realm="bearerd", error="insufficient_scope", scope="{scope}""#
                );
                // This can't fail: abilities are printable ASCII without quotes.
                let value = HeaderValue::try_from(challenge);
                value.map(|value| vec![(WWW_AUTHENTICATE, value)]).unwrap_or_default()
            }
            &Self::Auth(Error::TooManyAttempts { limit, wait, until }) => vec![
                (RETRY_AFTER, u32::from(wait).into()),
                (HeaderName::from_static("x-ratelimit-limit"), limit.into()),
                (HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from_static("0")),
                // In Unix seconds, like Laravel's header.
                (HeaderName::from_static("x-ratelimit-reset"), until.as_unix().into()),
            ],
            Self::Auth(Error::Busy | Error::Unavailable(_)) => {
                vec![(RETRY_AFTER, HeaderValue::from_static("1"))]
            }
            Self::MethodNotAllowed { allow, .. } => vec![(ALLOW, allow.clone())],
            Self::BasicToo(refusal) => {
                // Basic is first because nginx before 1.23 passes on only the first challenge. A client
                // that has a bearer token needs no challenge.
                let mut headers = challenge(r#"Basic realm="bearerd", charset="UTF-8""#);
                headers.extend(refusal.headers());
                headers
            }
            _ => Vec::new(),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.row().0
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = json(self.status_code(), &self.body());
        let headers = response.headers_mut();
        for (name, value) in self.headers() {
            headers.append(name, value);
        }
        match self {
            Self::Auth(auth::Error::Internal(cause)) => {
                // The client gets the id instead of the cause, so that a report leads to the log line.
                let id = format!("{:016x}", rand::random::<u64>());
                log::error!("request {id} failed: {cause}");
                if let Ok(id) = HeaderValue::try_from(id) {
                    headers.insert(HeaderName::from_static("x-request-id"), id);
                }
            }
            Self::Auth(auth::Error::Unavailable(cause)) => log::warn!("answered 503: {cause}"),
            _ => {}
        }
        response
    }
}
