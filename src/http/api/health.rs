//! What monitoring asks: whether the server answers, and what it has counted.

use actix_web::web::Data;
use actix_web::{HttpResponse, http::header::ContentType};

use crate::auth::Auth;
use crate::http::response::error::ApiError;

/// `GET /healthz`: the process answers.
pub(in crate::http) async fn alive() -> HttpResponse {
    ok()
}

/// `GET /readyz`: the store answers too.
pub(in crate::http) async fn ready(auth: Data<Auth>) -> Result<HttpResponse, ApiError> {
    auth.ready().await?;
    Ok(ok())
}

/// `GET /metrics`: what was counted, for Prometheus.
pub(in crate::http) async fn metrics(auth: Data<Auth>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(auth.metrics_text())
}

fn ok() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok\n")
}
