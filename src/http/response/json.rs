//! JSON answers.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use actix_web::web::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

/// An answer with this body, as JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    match to_json(body) {
        Ok(body) => with_json(status, body.into()),
        Err(error) => {
            log::error!("an answer can't be written as JSON: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// An answer whose body has this value as `data`.
pub(crate) fn data(status: StatusCode, data: impl Serialize) -> HttpResponse {
    json(status, &Data { data })
}

/// An answer with this body, which is JSON. Caches must not store the answers under `/api`.
pub(crate) fn with_json(status: StatusCode, body: Bytes) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .body(body)
}

/// A body as JSON.
pub(crate) fn to_json(body: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    // Most bodies fit, so that the buffer need not grow.
    let mut bytes = Vec::with_capacity(256);
    serde_json::to_writer(&mut bytes, body)?;
    Ok(bytes)
}

// The wrapper of most answers. Not a doc comment: the description of the API would show it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Data<T> {
    pub(crate) data: T,
}
