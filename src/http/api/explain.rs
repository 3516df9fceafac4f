use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::auth::{Auth, Subject};
use crate::config::TrustedProxies;
use crate::domain::{Original, Requirement};
use crate::http::fields::{Abilities, Address, TokenOrId};
use crate::http::request::body::{JsonBody, body};
use crate::http::request::extract::CurrentToken;
use crate::http::response::error::ApiError;
use crate::http::response::json::{Data, json};

body! {
    /// A request to somebody else, and the token that it would be sent with.
    #[schema(examples(json!({"token": 1, "method": "GET", "host": "app.example.org", "uri": "/posts/1"})))]
    struct Question {
        token: Option<TokenOrId>,
        /// Abilities that are named in the query; all are needed.
        abilities: Option<Abilities>,
        /// The original request's method: GET, unless given.
        method: Option<String>,
        /// The host that the original request is for.
        host: Option<String>,
        /// The original request's path and query: /, unless given beside one of those.
        uri: Option<String>,
        /// The original request's header `Destination`, which COPY and MOVE have: a URL or a path.
        destination: Option<String>,
        /// The address of whoever asks for the request: a trusted proxy's, unless given.
        from: Option<Address>,
    }
}

/// `POST /api/explain`: what `/api/verify` would answer, and why.
pub(in crate::http) async fn explain(
    current: CurrentToken,
    request: HttpRequest,
    body: web::Payload,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let form = JsonBody::read(&request, body).await?;
    let Question { token, abilities, method, host, uri, destination, from } = form.parse()?;
    auth.confirm(&current).await?;
    let abilities = abilities.filter(|all| !all.is_empty());
    let named = abilities.map(Requirement::All).into_iter().collect();
    let original = Original::of(method, host, uri, destination);
    let proxies = request.app_data::<TrustedProxies>();
    let trusted = proxies.is_some_and(|proxies| proxies.include(from));
    let subject = token.unwrap_or(Subject::Nobody);
    let explanation = auth.explain(subject, named, original.as_ref(), trusted).await?;
    Ok(json(StatusCode::OK, &Data { data: explanation }))
}
