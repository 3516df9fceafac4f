//! The routes for monitoring: health checks and metrics.

use actix_web::web::Data;
use actix_web::{HttpResponse, http::header::ContentType};

use crate::auth::{Auth, Error};
use crate::http::openapi::operation::{Operation, tag};
use crate::http::response::error::Answer;

pub(crate) const ALIVE: Operation =
    Operation::new(tag::SERVICE, "healthz", "Check that the process answers").answers_text();

/// `GET /healthz`: the process answers.
pub(crate) async fn alive() -> HttpResponse {
    ok()
}

pub(crate) const READY: Operation =
    Operation::new(tag::SERVICE, "readyz", "Check that the database can be read and written too")
        .answers_text()
        .refuses(&[|| Error::Busy.into(), || Error::Unavailable(String::new()).into()]);

/// `GET /readyz`: the store can read and write too.
pub(crate) async fn ready(auth: Data<Auth>) -> Answer {
    auth.ready().await?;
    Ok(ok())
}

pub(crate) const METRICS: Operation =
    Operation::new(tag::SERVICE, "metrics", "Show the metrics, for Prometheus").answers_text();

/// `GET /metrics`, for Prometheus.
pub(crate) async fn metrics(auth: Data<Auth>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(auth.metrics_text())
}

fn ok() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok\n")
}
