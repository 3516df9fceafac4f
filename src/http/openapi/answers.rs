//! The answers of an operation: its success, and its refusals. The statuses, headers and texts of refusals
//! are read from [`ApiError`].

use std::collections::BTreeMap;

use actix_web::ResponseError;
use actix_web::http::StatusCode;
use serde_json::Value;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{ContentBuilder, Header, Ref, RefOr, Responses, ResponsesBuilder, Schema};

use super::operation::{Content, Operation, Schemas};
use crate::auth::Error;
use crate::domain::{Requirement, Timestamp, ValidationErrors};
use crate::http::fields::{integer, string};
use crate::http::request::body::JSON;
use crate::http::request::credentials::TokenSources;
use crate::http::response::error::ApiError;

/// The possible answers of an operation. `resource` is the kind of resource that the path names.
pub(super) fn answers(
    operation: &Operation,
    requirement: &Requirement,
    resource: Option<&'static str>,
    schemas: &mut Schemas,
) -> Responses {
    let success = (operation.status.to_string(), success(operation, schemas));
    let mut by_status: BTreeMap<u16, Vec<ApiError>> = BTreeMap::new();
    for error in refusals(operation, requirement, resource) {
        by_status.entry(error.status_code().as_u16()).or_default().push(error);
    }
    let refused =
        by_status.into_iter().map(|(status, errors)| (status.to_string(), refusal(&errors)));
    ResponsesBuilder::new().responses_from_iter([success].into_iter().chain(refused)).build()
}

fn success(operation: &Operation, schemas: &mut Schemas) -> RefOr<utoipa::openapi::Response> {
    let answer = ResponseBuilder::new().description(reason(operation.status));
    match operation.content {
        Content::Nothing => operation
            .headers
            .iter()
            .fold(answer, |answer, name| answer.header(shown(name), optional(name))),
        Content::Text => {
            answer.content("text/plain", ContentBuilder::new().schema(Some(string())).build())
        }
        Content::Json(schema) => answer
            .content(JSON, ContentBuilder::new().schema(Some(schema(schemas))).build())
            .header("Cache-Control", header("cache-control")),
    }
    .into()
}

/// An example of each error that the operation may answer.
fn refusals(
    operation: &Operation,
    requirement: &Requirement,
    resource: Option<&'static str>,
) -> Vec<ApiError> {
    let mut errors: Vec<ApiError> = operation.refusals.iter().map(|error| error()).collect();
    if *requirement != Requirement::Nothing {
        let auth = [
            Error::Unauthenticated,
            Error::InvalidToken,
            Error::Internal(String::new()),
            Error::Busy,
            Error::Unavailable(String::new()),
        ];
        errors.extend(auth.map(|error| match requirement {
            Requirement::Service(_) => TokenSources::BASIC.challenge(error),
            _ => error.into(),
        }));
    }
    if !requirement.scope().is_empty() {
        errors.push(Error::InsufficientScope(requirement.scope().to_owned()).into());
    }
    errors.extend(resource.map(|what| Error::NotFound(what).into()));
    if let Some((_, media_type)) = operation.body {
        errors.extend([
            ApiError::BodyTimeout,
            ApiError::BodyTooLarge,
            ApiError::UnsupportedType("of another type", media_type),
        ]);
        if media_type == JSON {
            let text = "The request body is not valid JSON: line 1, column 2.";
            errors.extend([
                ApiError::Malformed(text.to_owned()),
                Error::Invalid(ValidationErrors::one("email", "The email field is required."))
                    .into(),
            ]);
        }
    }
    if !operation.query.is_empty() {
        let text = "The query has an unknown parameter.";
        errors.push(Error::Invalid(ValidationErrors::one("query", text)).into());
    }
    errors
}

/// An example of an error for [`Operation::refuses`]: a rate limit was reached.
pub(crate) fn too_many_attempts() -> ApiError {
    let until = Timestamp::from_unix(1_767_225_642);
    Error::TooManyAttempts { limit: 5, wait: 42, until }.into()
}

/// The answer to errors that share a status.
fn refusal(errors: &[ApiError]) -> RefOr<utoipa::openapi::Response> {
    let examples = errors.iter().map(|error| {
        let body = serde_json::to_value(error.body()).unwrap_or_default();
        (error.code(), ExampleBuilder::new().value(Some(body)))
    });
    let schema = Ref::from_schema_name("Error");
    let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples);
    let status = errors.first().map_or(500, |error| error.status_code().as_u16());
    let mut answer = ResponseBuilder::new()
        .description(reason(status))
        .content(JSON, content.build())
        .header("Cache-Control", header("cache-control"));
    for (name, _) in errors.iter().flat_map(ApiError::headers) {
        answer = answer.header(shown(name.as_str()), header(name.as_str()));
    }
    if status == 500 {
        answer = answer.header("X-Request-Id", header("x-request-id"));
    }
    answer.into()
}

fn reason(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or_default()
}

/// A header's name as people write it: `x-request-id` is `X-Request-Id`.
fn shown(name: &str) -> String {
    let words = name.split('-').map(|word| match word {
        "www" => "WWW".to_owned(),
        "ratelimit" => "RateLimit".to_owned(),
        word => word[..1].to_uppercase() + &word[1..],
    });
    words.collect::<Vec<_>>().join("-")
}

/// A header that is always sent.
fn header(name: &str) -> Header {
    let mut always = Extensions::default();
    always.insert("required".to_owned(), Value::Bool(true));
    let mut header = optional(name);
    header.extensions = Some(always);
    header
}

/// A header that may be sent.
fn optional(name: &str) -> Header {
    let (about, schema) = match name {
        "cache-control" => {
            ("Caches must not store the answer", string().enum_values(Some(["no-store"])))
        }
        "www-authenticate" => {
            ("The challenge (RFC 6750)", string().pattern(Some("^(Bearer|Basic) realm=")))
        }
        "retry-after" => ("The seconds to wait", integer(1)),
        "x-ratelimit-limit" => ("The limit per minute", integer(1)),
        "x-ratelimit-remaining" => ("The attempts left", integer(0)),
        "x-ratelimit-reset" => ("The time of the next attempt, in Unix seconds", integer(0)),
        "x-request-id" => {
            ("The id under which the log has the cause", string().pattern(Some("^[0-9a-f]{16}$")))
        }
        "remote-user" => ("The email of the token's owner; it may change", string()),
        "x-auth-user-id" => ("The owner's id; it is never given to another user", integer(1)),
        "x-auth-user-name" => ("The owner's name, percent-encoded if it is not ASCII", string()),
        "x-auth-token-id" => ("The token's id", integer(1)),
        "x-auth-abilities" => ("The token's abilities, separated by spaces", string()),
        _ => ("", string()),
    };
    HeaderBuilder::new()
        .description(Some(about))
        .schema(Some(RefOr::T(Schema::Object(schema.build()))))
        .build()
}
