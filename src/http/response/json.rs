//! JSON answers.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use actix_web::web::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

/// An answer with a JSON body.
pub(in crate::http) fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    match to_json(body) {
        Ok(body) => with_json(status, body.into()),
        Err(error) => {
            log::error!("an answer could not be written: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// The same, whose body has been written before. Nothing under `/api` is for a cache.
pub(in crate::http) fn with_json(status: StatusCode, body: Bytes) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .body(body)
}

/// A body's JSON.
pub(in crate::http) fn to_json(body: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    // Most bodies fit, and are written without a copy.
    let mut bytes = Vec::with_capacity(256);
    serde_json::to_writer(&mut bytes, body)?;
    Ok(bytes)
}

// What most answers wrap their body in.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Data<T> {
    pub(in crate::http) data: T,
}
