//! Errors as answers: the one place where a status, its message, its code and its headers are
//! chosen. A new error does not compile until it has them.
#![deny(clippy::wildcard_enum_match_arm)]

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use super::json::json;
use crate::auth;
use crate::domain::ValidationErrors;
use crate::http::{BODY_LIMIT, BODY_TIMEOUT};

/// Why a request was not carried out. A handler may return it, as the error of its `Result`; by `?`,
/// what [`Auth`](auth::Auth) refuses is then answered as bearerd's own routes answer it.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The service said so.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// No route has this path.
    #[error("no route {0}")]
    NoRoute(String),
    /// The path's routes are for other methods.
    #[error("no {method} for {path}")]
    MethodNotAllowed {
        /// The method asked for.
        method: String,
        /// The path.
        path: String,
        /// The methods that there are.
        allow: HeaderValue,
    },
    /// The body, or a part of the request, can't be read.
    #[error("{0}")]
    Malformed(String),
    /// The body is over the limit.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The body is not what the route reads: its name, and its media type.
    #[error("the body is not {0}")]
    UnsupportedType(&'static str, &'static str),
    /// A form lacks what RFC 7009 or RFC 7662 wants of it.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// A refusal where HTTP Basic is taken too.
    #[error(transparent)]
    BasicToo(Box<ApiError>),
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTimeout,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(in crate::http) struct Body<'a> {
    /// For people.
    message: String,
    /// For programs; it stays as it is.
    #[schema(pattern = "^[a-z_]+$")]
    code: &'static str,
    /// What OAuth's clients read (RFC 6749, section 5.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    error: Option<&'static str>,
    /// What is wrong with each field. With 422 alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = std::collections::BTreeMap<String, Vec<String>>, required = false)]
    errors: Option<&'a ValidationErrors>,
}

impl ApiError {
    /// The stable word that programs tell errors apart by.
    pub(in crate::http) fn code(&self) -> &'static str {
        use auth::Error;
        match self {
            Self::Auth(Error::Unauthenticated) => "unauthenticated",
            Self::Auth(Error::InvalidToken) => "invalid_token",
            Self::Auth(Error::WrongCredentials) => "invalid_credentials",
            Self::Auth(Error::TooManyAttempts { .. }) => "too_many_attempts",
            Self::Auth(Error::InsufficientScope(_)) => "insufficient_scope",
            Self::Auth(Error::NotFound(_)) => "not_found",
            Self::Auth(Error::NoRule) => "no_access_rule",
            Self::Auth(Error::EmailChangeDisabled) => "email_change_disabled",
            Self::Auth(Error::Invalid(_)) => "validation_failed",
            Self::Auth(Error::Conflict) => "conflict",
            Self::Auth(Error::Busy) => "overloaded",
            Self::Auth(Error::Unavailable(_)) => "store_unavailable",
            Self::Auth(Error::Internal(_)) => "server_error",
            Self::NoRoute(_) => "route_not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::BodyTooLarge => "payload_too_large",
            Self::UnsupportedType(..) => "unsupported_media_type",
            Self::Auth(Error::Unclear(_)) | Self::Malformed(_) | Self::InvalidRequest(_) => {
                "invalid_request"
            }
            Self::BodyTimeout => "request_timeout",
            Self::BasicToo(refusal) => refusal.code(),
        }
    }

    /// The sentence that people read. Nothing of a cause inside the server is in it.
    fn message(&self) -> String {
        use auth::Error;
        match self {
            Self::Auth(Error::Unauthenticated | Error::InvalidToken) => "Unauthenticated.".into(),
            Self::Auth(Error::WrongCredentials) => "The provided credentials are incorrect.".into(),
            Self::Auth(Error::TooManyAttempts { .. }) => "Too Many Attempts.".into(),
            Self::Auth(Error::InsufficientScope(_)) => "Invalid ability provided.".into(),
            Self::Auth(Error::NotFound(what)) => format!("The {what} could not be found."),
            Self::Auth(Error::Unclear(what)) => what.clone(),
            Self::Auth(Error::NoRule) => "No access rule lets this request pass.".into(),
            Self::Auth(Error::EmailChangeDisabled) => {
                "Only an administrator can change your email. Send the present one to keep it."
                    .into()
            }
            Self::Auth(Error::Invalid(faults)) => faults.summary(),
            Self::Auth(Error::Conflict) => {
                "Another change was made at the same time. Try again.".into()
            }
            Self::Auth(Error::Busy | Error::Unavailable(_)) => "Service Unavailable".into(),
            Self::Auth(Error::Internal(_)) => "Server Error".into(),
            Self::NoRoute(path) => {
                format!("The route {} could not be found.", path.trim_start_matches('/'))
            }
            Self::MethodNotAllowed { method, path, allow } => format!(
                "The {method} method is not supported for route {}. Supported methods: {}.",
                path.trim_start_matches('/'),
                allow.to_str().unwrap_or_default(),
            ),
            Self::Malformed(what) => what.clone(),
            Self::BodyTooLarge => {
                format!("The request body must not be larger than {BODY_LIMIT} bytes.")
            }
            Self::UnsupportedType(what, media_type) => {
                format!("The request body must be {what}, sent with Content-Type: {media_type}.")
            }
            Self::InvalidRequest(what) => (*what).into(),
            Self::BodyTimeout => {
                format!("The request body must arrive within {} seconds.", BODY_TIMEOUT.as_secs())
            }
            Self::BasicToo(refusal) => refusal.message(),
        }
    }

    /// What the answer's body holds.
    pub(in crate::http) fn body(&self) -> Body<'_> {
        let errors =
            if let Self::Auth(auth::Error::Invalid(faults)) = self { Some(faults) } else { None };
        let code = self.code();
        let error = matches!(self, Self::InvalidRequest(_)).then_some(code);
        Body { message: self.message(), code, error, errors }
    }

    /// The headers that go with the status.
    pub(in crate::http) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        use auth::Error;
        match self {
            Self::Auth(Error::Unauthenticated | Error::WrongCredentials) => {
                vec![(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="bearerd""#))]
            }
            Self::Auth(Error::InvalidToken) => vec![(
                WWW_AUTHENTICATE,
                HeaderValue::from_static(r#"Bearer realm="bearerd", error="invalid_token""#),
            )],
            &Self::Auth(Error::TooManyAttempts { limit, wait, until }) => vec![
                (RETRY_AFTER, u32::from(wait).into()),
                (HeaderName::from_static("x-ratelimit-limit"), limit.into()),
                (HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from_static("0")),
                // In Unix seconds, as Laravel has it.
                (HeaderName::from_static("x-ratelimit-reset"), until.as_unix().into()),
            ],
            Self::Auth(Error::InsufficientScope(scope)) => {
                let challenge = format!(
                    r#"Bearer realm="bearerd", error="insufficient_scope", scope="{scope}""#
                );
                // Abilities are printable ASCII without quotes.
                HeaderValue::try_from(challenge)
                    .map(|value| (WWW_AUTHENTICATE, value))
                    .into_iter()
                    .collect()
            }
            Self::Auth(Error::Busy | Error::Unavailable(_)) => {
                vec![(RETRY_AFTER, HeaderValue::from_static("1"))]
            }
            Self::MethodNotAllowed { allow, .. } => vec![(ALLOW, allow.clone())],
            Self::BasicToo(refusal) => {
                // First: of several challenges, nginx before 1.23 passes on the first alone, and a
                // client that has a bearer token needs none.
                let basic = HeaderValue::from_static(r#"Basic realm="bearerd", charset="UTF-8""#);
                std::iter::once((WWW_AUTHENTICATE, basic)).chain(refusal.headers()).collect()
            }
            Self::Auth(
                Error::Conflict
                | Error::Internal(_)
                | Error::NotFound(_)
                | Error::Invalid(_)
                | Error::Unclear(_)
                | Error::NoRule
                | Error::EmailChangeDisabled,
            )
            | Self::NoRoute(_)
            | Self::Malformed(_)
            | Self::BodyTooLarge
            | Self::UnsupportedType(..)
            | Self::InvalidRequest(_)
            | Self::BodyTimeout => Vec::new(),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        use auth::Error;
        match self {
            Self::Auth(Error::Unauthenticated | Error::InvalidToken | Error::WrongCredentials) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Auth(Error::TooManyAttempts { .. }) => StatusCode::TOO_MANY_REQUESTS,
            Self::Auth(
                Error::InsufficientScope(_) | Error::NoRule | Error::EmailChangeDisabled,
            ) => StatusCode::FORBIDDEN,
            Self::Auth(Error::Unclear(_)) => StatusCode::BAD_REQUEST,
            Self::Auth(Error::NotFound(_)) | Self::NoRoute(_) => StatusCode::NOT_FOUND,
            Self::Auth(Error::Invalid(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Auth(Error::Conflict) => StatusCode::CONFLICT,
            Self::Auth(Error::Busy | Error::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Auth(Error::Internal(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedType(..) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidRequest(_) => StatusCode::BAD_REQUEST,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BasicToo(refusal) => refusal.status_code(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = json(self.status_code(), &self.body());
        let headers = response.headers_mut();
        for (name, value) in self.headers() {
            headers.append(name, value);
        }
        match self {
            Self::Auth(auth::Error::Internal(cause)) => {
                // By this the client's report is found in the log.
                let id = format!("{:016x}", rand::random::<u64>());
                log::error!("request {id} failed: {cause}");
                if let Ok(id) = HeaderValue::try_from(id) {
                    headers.insert(HeaderName::from_static("x-request-id"), id);
                }
            }
            Self::Auth(auth::Error::Unavailable(cause)) => log::warn!("answered 503: {cause}"),
            Self::Auth(_)
            | Self::NoRoute(_)
            | Self::MethodNotAllowed { .. }
            | Self::Malformed(_)
            | Self::BodyTooLarge
            | Self::UnsupportedType(..)
            | Self::InvalidRequest(_)
            | Self::BodyTimeout
            | Self::BasicToo(_) => {}
        }
        response
    }
}
