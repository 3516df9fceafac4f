use actix_web::http::StatusCode;
use actix_web::web::{self, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{self, Auth, Credentials, Issued, TokenRequest};
use crate::domain::{
    Abilities, Email, Name, Requirement, Timestamp, Token, TokenKind, User, ValidationErrors,
};
use crate::http::fields;
use crate::http::guard::authorize;
use crate::http::request::body::{JsonBody, body};
use crate::http::request::client_address::ClientAddress;
use crate::http::request::credentials::TokenSources;
use crate::http::request::extract::CurrentToken;
use crate::http::request::paging::{Paging, row_id};
use crate::http::response::error::ApiError;
use crate::http::response::json::{Data, json};

body! {
    #[schema(
        title = "Log in",
        // Not more: a token that can do less is asked for knowingly.
        examples(json!({"email": "ada@example.org", "password": "correct horse", "device_name": "laptop"}))
    )]
    struct Login {
        email: fields::ClaimedEmail,
        password: fields::Password,
        /// What the token is called in the list of tokens.
        device_name: fields::Name,
        /// Every ability of the user's, unless given.
        abilities: Option<fields::Abilities>,
        expires_in: Option<fields::Seconds>,
    }
}

body! {
    #[schema(title = "By bearer")]
    struct PersonalToken {
        /// What the token is called in the list of tokens.
        device_name: fields::Name,
        /// No more than the bearer may do; the bearer's own list, unless given.
        abilities: Option<fields::Abilities>,
        /// Unless the bearer's is a login token: at most the time that it has left, which is also the default.
        expires_in: Option<fields::Seconds>,
    }
}

body! {
    struct TokenName {
        device_name: fields::Name,
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(in crate::http) struct TokenBody<'a> {
    #[schema(value_type = fields::Id)]
    id: i64,
    #[schema(value_type = fields::Kind)]
    kind: TokenKind,
    /// The token that issued it, if it is bound to that one: it dies with it.
    #[schema(value_type = Option<fields::Id>, required)]
    parent_id: Option<i64>,
    #[schema(value_type = fields::Name)]
    name: &'a Name,
    #[schema(value_type = fields::Abilities)]
    abilities: &'a Abilities,
    #[schema(value_type = fields::Time)]
    created_at: Timestamp,
    #[schema(value_type = Option<fields::Time>, required)]
    last_used_at: Option<Timestamp>,
    #[schema(value_type = Option<fields::Time>, required)]
    expires_at: Option<Timestamp>,
    /// Whether it is the token that asks.
    current: bool,
}

impl<'a> TokenBody<'a> {
    pub(in crate::http) fn new(
        token: &'a Token,
        ends_at: Option<Timestamp>,
        current: bool,
    ) -> Self {
        Self {
            id: token.id,
            kind: token.kind,
            parent_id: token.parent_id(),
            name: &token.name,
            abilities: &token.abilities,
            created_at: token.created_at,
            last_used_at: token.last_used_at,
            expires_at: ends_at,
            current,
        }
    }

    /// A row of the list that the bearer of `current` sees.
    pub(in crate::http) fn row(token: &'a Token, auth: &Auth, current: &CurrentToken) -> Self {
        let is_current = token.id == current.token.id;
        let mut row = Self::new(token, auth.end_of(token), is_current);
        if is_current {
            // It is in use, whatever is written down yet.
            row.last_used_at = current.last_used_at();
        }
        row
    }
}

#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Created<'a> {
    /// The one place where a token's string leaves the process.
    #[schema(value_type = fields::PlainToken)]
    token: &'a str,
    #[schema(pattern = "^Bearer$")]
    token_type: &'static str,
    access_token: TokenBody<'a>,
    user: UserSummary<'a>,
}

#[derive(Serialize, ToSchema)]
struct UserSummary<'a> {
    #[schema(value_type = fields::Id)]
    id: i64,
    #[schema(value_type = fields::UserName)]
    name: &'a Name,
    #[schema(value_type = fields::Email)]
    email: &'a Email,
}

/// `POST /api/tokens`: logs in; by bearer, and without an email, issues a personal access token.
pub(in crate::http) async fn create(
    request: HttpRequest,
    from: ClientAddress,
    body: web::Payload,
    places: web::Data<TokenSources>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let form = JsonBody::read(&request, body).await?;
    let by_bearer = places.are_used_by(request.headers());
    if !form.has("email") && by_bearer {
        let bearer = authorize(&request, &auth, Requirement::Ability("tokens:write")).await?;
        let PersonalToken { device_name: name, abilities, expires_in } = form.parse()?;
        let wanted = TokenRequest { name, abilities, expires_in };
        let (issued, user) = auth.issue_by_token(&bearer, wanted).await?;
        return Ok(created(&auth, &issued, &user, false));
    }
    let Login { email, password, device_name: name, abilities, expires_in } = form.parse()?;
    let wanted = TokenRequest { name, abilities, expires_in };
    let (issued, user) = auth.log_in(Credentials { email, password }, wanted, from.0).await?;
    Ok(created(&auth, &issued, &user, true))
}

fn created(auth: &Auth, issued: &Issued, user: &User, current: bool) -> HttpResponse {
    let body = Created {
        token: issued.plain.expose(),
        token_type: "Bearer",
        access_token: TokenBody::new(&issued.token, auth.end_of(&issued.token), current),
        user: UserSummary { id: user.id, name: &user.name, email: &user.email },
    };
    json(StatusCode::CREATED, &body)
}

/// `PATCH /api/tokens/{id}`
pub(in crate::http) async fn rename(
    current: CurrentToken,
    id: Path<String>,
    request: HttpRequest,
    body: web::Payload,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let id = row_id(&id, "token")?;
    let TokenName { device_name } = JsonBody::read(&request, body).await?.parse()?;
    let token = auth.rename(&current, id, device_name).await?;
    let is_current = token.id == current.token.id;
    let data = TokenBody::new(&token, auth.end_of(&token), is_current);
    Ok(json(StatusCode::OK, &Data { data }))
}

/// `GET /api/tokens/current`
pub(in crate::http) async fn show_current(current: CurrentToken) -> HttpResponse {
    let mut data = TokenBody::new(&current.token, current.token.expires_at, true);
    data.last_used_at = current.last_used_at();
    json(StatusCode::OK, &Data { data })
}

/// `DELETE /api/tokens/current`: logs out.
pub(in crate::http) async fn revoke_current(
    current: CurrentToken,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    auth.log_out(&current).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /api/tokens/{id}`
pub(in crate::http) async fn revoke(
    current: CurrentToken,
    id: Path<String>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    auth.revoke(current.actor(), row_id(&id, "token")?, Some(current.user.id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /api/tokens`, `DELETE /api/tokens?except=current`
pub(in crate::http) async fn revoke_all(
    current: CurrentToken,
    query: Query<Vec<(String, String)>>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let except = match query.as_slice() {
        [] => None,
        [(key, value)] if key == "except" && value == "current" => Some(current.token.id),
        // A misspelt exception must not log everything out.
        _ => {
            let text = "The query must be empty or except=current.";
            return Err(auth::Error::Invalid(ValidationErrors::one("except", text)).into());
        }
    };
    auth.revoke_all(current.actor(), current.user.id, except).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /api/tokens`
pub(in crate::http) async fn list(
    current: CurrentToken,
    request: HttpRequest,
    query: Query<Vec<(String, String)>>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let paging = Paging::read(&query)?;
    let page = auth.tokens_of(current.user.id, paging.page, paging.per_page).await?;
    let row = |token| TokenBody::row(token, &auth, &current);
    Ok(json(StatusCode::OK, &paging.listing(request.path(), &page, row)))
}
