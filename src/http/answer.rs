//! JSON answers.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use actix_web::web::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

/// An answer's JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    written(status, write(body))
}

/// An answer whose JSON has been written. Nothing under `/api` is for a cache.
pub(super) fn written(status: StatusCode, body: Option<Bytes>) -> HttpResponse {
    match body {
        Some(body) => HttpResponse::build(status)
            .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
            .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
            .body(body),
        None => HttpResponse::InternalServerError().finish(),
    }
}

/// Writes JSON. If it can't be written, the log says why.
pub(super) fn write(body: &impl Serialize) -> Option<Bytes> {
    // Most bodies fit, and are written without a copy.
    let mut bytes = Vec::with_capacity(256);
    match serde_json::to_writer(&mut bytes, body) {
        Ok(()) => Some(bytes.into()),
        Err(error) => {
            log::error!("an answer could not be written: {error}");
            None
        }
    }
}

// What most answers wrap their body in.
#[derive(Serialize, ToSchema)]
pub(super) struct Data<T> {
    pub(super) data: T,
}
