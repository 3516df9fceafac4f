use actix_web::web::Data;
use actix_web::{HttpResponse, http::header::ContentType};

use super::error::ApiError;
use crate::auth::Auth;

/// `GET /healthz`: the process answers.
pub(super) async fn alive() -> HttpResponse {
    ok()
}

/// `GET /readyz`: the store answers too.
pub(super) async fn ready(auth: Data<Auth>) -> Result<HttpResponse, ApiError> {
    auth.ready().await?;
    Ok(ok())
}

fn ok() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok\n")
}
