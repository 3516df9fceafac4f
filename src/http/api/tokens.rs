use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Auth, Credentials, Error, Issued, TokenRequest};
use crate::domain::{
    Abilities, Email, Name, Requirement, Timestamp, Token, TokenKind, User, ValidationErrors,
};
use crate::http::fields;
use crate::http::guard::authorize;
use crate::http::openapi::answers::too_many_attempts;
use crate::http::openapi::operation::{Operation, Query, tag};
use crate::http::request::body::{JsonBody, body};
use crate::http::request::client_address::ClientAddress;
use crate::http::request::credentials::TokenSources;
use crate::http::request::extract::CurrentToken;
use crate::http::request::paging::{Paging, query_pairs};
use crate::http::response::error::Answer;
use crate::http::response::json::{data, json};

body! {
    #[schema(
        title = "Log in",
        // Without `abilities` and `expires_in`, which most clients leave out.
        examples(json!({"email": "ada@example.org", "password": "correct horse", "device_name": "laptop"}))
    )]
    struct Login {
        email: fields::ClaimedEmail,
        password: fields::Password,
        /// The token's name in the list of tokens.
        device_name: fields::Name,
        /// The default is all abilities of the user.
        abilities: Option<fields::Abilities>,
        expires_in: Option<fields::Seconds>,
    }
}

body! {
    #[schema(title = "By token")]
    struct PersonalToken {
        /// The token's name in the list of tokens.
        device_name: fields::Name,
        /// At most the abilities of the issuing token, which are the default.
        abilities: Option<fields::Abilities>,
        /// If the issuing token is not a login token: at most the time that it has left, which is the default.
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
pub(crate) struct TokenBody<'a> {
    #[schema(value_type = fields::Id)]
    id: i64,
    #[schema(value_type = fields::Kind)]
    kind: TokenKind,
    /// The token that it is bound to: when that token is revoked or expires, this one ends too.
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
    /// Whether it is the token of the request.
    current: bool,
}

impl<'a> TokenBody<'a> {
    fn new(token: &'a Token, auth: &Auth, current: bool) -> Self {
        Self {
            id: token.id,
            kind: token.kind,
            parent_id: token.parent_id(),
            name: &token.name,
            abilities: &token.abilities,
            created_at: token.created_at,
            last_used_at: token.last_used_at,
            expires_at: auth.end_of(token),
            current,
        }
    }

    /// The token in an answer to a request with the token `current`.
    fn row(token: &'a Token, auth: &Auth, current: &CurrentToken) -> Self {
        let mut row = Self::new(token, auth, token.id == current.token.id);
        if row.current {
            // This use may not be in the store yet.
            row.last_used_at = current.last_used_at();
        }
        row
    }
}

#[derive(Serialize, ToSchema)]
struct Created<'a> {
    /// The token's string. It is never shown again.
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

pub(crate) const CREATE: Operation =
    Operation::new(tag::TOKENS, "createToken", "Log in, or issue a personal access token")
        .details(
            "With an email and a password, this is a login. With a token that has the ability \
             `tokens:write`, and without an email, it issues a personal access token, whose abilities are at most \
             those of the issuing token. Unless that is a login token, the new token is bound to it: it \
             is revoked with it, and ends no later. If the user has `max_tokens_per_user` live tokens, \
             a login revokes the login token that was used least recently, and a personal access token \
             is refused with 422.",
        )
        .reads_either::<Login, PersonalToken>()
        .answers::<Created>(201)
        .refuses(&[
            || Error::WrongCredentials.into(),
            || Error::InvalidToken.into(),
            || Error::InsufficientScope("tokens:write".to_owned()).into(),
            too_many_attempts,
            || Error::Internal(String::new()).into(),
            || Error::Busy.into(),
            || Error::Unavailable(String::new()).into(),
        ]);

/// `POST /api/tokens`: logs in, or issues a personal access token if a token and no email is sent.
pub(crate) async fn create(
    request: HttpRequest,
    from: ClientAddress,
    body: JsonBody,
    sources: Data<TokenSources>,
    auth: Data<Auth>,
) -> Answer {
    if !body.has("email") && sources.are_used_by(request.headers()) {
        let bearer = authorize(&request, &auth, Requirement::Ability("tokens:write")).await?;
        let PersonalToken { device_name: name, abilities, expires_in } = body.parse()?;
        let wanted = TokenRequest { name, abilities, expires_in };
        let (issued, user) = auth.issue_by_token(&bearer, wanted).await?;
        return Ok(created(&auth, &issued, &user, false));
    }
    let Login { email, password, device_name: name, abilities, expires_in } = body.parse()?;
    let wanted = TokenRequest { name, abilities, expires_in };
    let (issued, user) = auth.log_in(Credentials { email, password }, wanted, from.0).await?;
    Ok(created(&auth, &issued, &user, true))
}

fn created(auth: &Auth, issued: &Issued, user: &User, current: bool) -> HttpResponse {
    let body = Created {
        token: issued.plain.expose(),
        token_type: "Bearer",
        access_token: TokenBody::new(&issued.token, auth, current),
        user: UserSummary { id: user.id, name: &user.name, email: &user.email },
    };
    json(StatusCode::CREATED, &body)
}

pub(crate) const RENAME: Operation =
    Operation::new(tag::TOKENS, "renameToken", "Rename one of your tokens")
        .reads::<TokenName>()
        .answers_data::<TokenBody>(200);

/// `PATCH /api/tokens/{id}`
pub(crate) async fn rename(
    current: CurrentToken,
    id: Path<i64>,
    body: JsonBody,
    auth: Data<Auth>,
) -> Answer {
    let TokenName { device_name } = body.parse()?;
    let token = auth.rename(&current, *id, device_name).await?;
    let is_current = token.id == current.token.id;
    Ok(data(StatusCode::OK, TokenBody::new(&token, &auth, is_current)))
}

pub(crate) const SHOW_CURRENT: Operation =
    Operation::new(tag::TOKENS, "showCurrentToken", "Show the token of the request")
        .answers_data::<TokenBody>(200);

/// `GET /api/tokens/current`
pub(crate) async fn show_current(current: CurrentToken, auth: Data<Auth>) -> HttpResponse {
    data(StatusCode::OK, TokenBody::row(&current.token, &auth, &current))
}

pub(crate) const REVOKE_CURRENT: Operation =
    Operation::new(tag::TOKENS, "revokeCurrentToken", "Log out: revoke the token of the request")
        .details("The tokens that are bound to it are revoked too.");

/// `DELETE /api/tokens/current`: logs out.
pub(crate) async fn revoke_current(current: CurrentToken, auth: Data<Auth>) -> Answer {
    auth.log_out(&current).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) const REVOKE: Operation =
    Operation::new(tag::TOKENS, "revokeToken", "Revoke one of your tokens")
        .details("The tokens that are bound to it are revoked too.");

/// `DELETE /api/tokens/{id}`
pub(crate) async fn revoke(current: CurrentToken, id: Path<i64>, auth: Data<Auth>) -> Answer {
    auth.revoke(current.actor(), *id, Some(current.user.id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) const REVOKE_ALL: Operation =
    Operation::new(tag::TOKENS, "revokeTokens", "Revoke all your tokens")
        .details(
            "`except=current` keeps the token of the request, unless it is bound to another token.",
        )
        .query(&[Query::Word("except", "Keeps the token of the request", "current")]);

/// `DELETE /api/tokens`, `DELETE /api/tokens?except=current`
pub(crate) async fn revoke_all(
    current: CurrentToken,
    request: HttpRequest,
    auth: Data<Auth>,
) -> Answer {
    let query: Vec<_> = query_pairs(request.query_string()).collect();
    let except = match query.as_slice() {
        [] => None,
        [(key, value)] if key == "except" && value == "current" => Some(current.token.id),
        // A misspelt exception must not revoke the current token too.
        _ => {
            let text = "The query must be empty or except=current.";
            return Err(Error::Invalid(ValidationErrors::one("except", text)).into());
        }
    };
    auth.revoke_all(current.actor(), current.user.id, except).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) const LIST: Operation =
    Operation::new(tag::TOKENS, "listTokens", "List your live tokens, newest first")
        .answers_page::<TokenBody>();

/// `GET /api/tokens`
pub(crate) async fn list(current: CurrentToken, paging: Paging, auth: Data<Auth>) -> Answer {
    list_tokens_of(current.user.id, &paging, &current, &auth).await
}

/// A page of the tokens of the user `owner`, as the bearer of `current` sees them.
pub(super) async fn list_tokens_of(
    owner: i64,
    paging: &Paging,
    current: &CurrentToken,
    auth: &Auth,
) -> Answer {
    let page = auth.tokens_of(owner, paging.page, paging.per_page).await?;
    let row = |token| TokenBody::row(token, auth, current);
    Ok(json(StatusCode::OK, &paging.listing(&page, row)))
}
