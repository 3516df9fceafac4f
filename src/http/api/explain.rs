use std::net::IpAddr;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::auth::{Auth, Question, Subject};
use crate::config::TrustedProxies;
use crate::domain::{Abilities, Access, Original};
use crate::http::request::body::JsonBody;
use crate::http::request::extract::CurrentToken;
use crate::http::response::error::ApiError;
use crate::http::response::json::{Data, json};

/// `POST /api/explain`: what `/api/verify` would answer, and why.
pub(in crate::http) async fn explain(
    current: CurrentToken,
    request: HttpRequest,
    body: web::Payload,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let mut form = JsonBody::read(&request, body).await?;
    let subject = match form.is_number("token") {
        true => form.optional_integer("token", 1..=i64::MAX).map(Subject::Row),
        false => form.optional("token", |text| Ok::<_, &str>(Subject::Sent(text.into()))),
    };
    let abilities = form.optional_list("abilities", Abilities::parse);
    let method = form.optional("method", Ok::<_, &str>);
    let host = form.optional("host", Ok::<_, &str>);
    let uri = form.optional("uri", Ok::<_, &str>);
    let destination = form.optional("destination", Ok::<_, &str>);
    let from = form.optional("from", |text| {
        text.parse::<IpAddr>().map_err(|_| "must be an IP address, such as 127.0.0.1")
    });
    form.finish()?;
    auth.confirm(&current).await?;
    let question = Question {
        named: abilities
            .filter(|all| all.iter().next().is_some())
            .map(Access::All)
            .into_iter()
            .collect(),
        original: Original::of(method, host, uri, destination),
    };
    let proxies = request.app_data::<TrustedProxies>();
    let trusted = proxies.is_some_and(|proxies| proxies.include(from));
    let explanation = auth.explain(subject.unwrap_or(Subject::Nobody), question, trusted).await?;
    Ok(json(StatusCode::OK, &Data { data: explanation }))
}
