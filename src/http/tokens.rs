use actix_web::http::StatusCode;
use actix_web::web::{self, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::address::ClientAddress;
use super::answer::{Data, json};
use super::error::ApiError;
use super::extract::Current;
use super::form::Form;
use crate::auth::{self, Auth, Credentials, TokenRequest};
use crate::domain::{Abilities, Email, Faults, Name, Password, Timestamp, Token};

/// The longest bound that may be asked for: a hundred years, in seconds.
const LONGEST_LIFE: i64 = 36_525 * 24 * 60 * 60;

#[derive(Serialize)]
struct TokenBody<'a> {
    id: i64,
    name: &'a Name,
    abilities: &'a Abilities,
    created_at: Timestamp,
    last_used_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    current: bool,
}

impl<'a> TokenBody<'a> {
    fn new(token: &'a Token, ends_at: Option<Timestamp>, current: bool) -> Self {
        Self {
            id: token.id,
            name: &token.name,
            abilities: &token.abilities,
            created_at: token.created_at,
            last_used_at: token.last_used_at,
            expires_at: ends_at,
            current,
        }
    }
}

#[derive(Serialize)]
struct Created<'a> {
    /// The one place where a token's string leaves the process.
    token: &'a str,
    token_type: &'static str,
    access_token: TokenBody<'a>,
    user: Owner<'a>,
}

#[derive(Serialize)]
struct Owner<'a> {
    id: i64,
    name: &'a Name,
    email: &'a Email,
}

/// `POST /api/tokens`: logs in.
pub(super) async fn create(
    request: HttpRequest,
    from: ClientAddress,
    body: web::Payload,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let mut form = Form::read(&request, body).await?;
    let email = form.required("email", |text| Email::parse(&text));
    let password = form.required("password", Password::claimed);
    let name = form.required("device_name", |text| Name::parse(&text));
    let abilities = form.optional_list("abilities", Abilities::parse);
    let expires_in = form.optional_integer("expires_in", 1..=LONGEST_LIFE);
    form.finish()?;
    let (Some(email), Some(password), Some(name)) = (email, password, name) else {
        // What is missing was a fault, and faults end above.
        return Err(auth::Error::Internal("a form ended well without its fields".into()).into());
    };
    let credentials = Credentials { email, password };
    let wanted = TokenRequest { name, abilities, expires_in };
    let (issued, user) = auth.log_in(credentials, wanted, from.0).await?;
    let access_token = TokenBody::new(&issued.token, auth.end_of(&issued.token), true);
    let body = Created {
        token: issued.plain.expose(),
        token_type: "Bearer",
        access_token,
        user: Owner { id: user.id, name: &user.name, email: &user.email },
    };
    Ok(json(StatusCode::CREATED, &body))
}

/// `GET /api/tokens/current`
pub(super) async fn show_current(current: Current) -> HttpResponse {
    let mut data = TokenBody::new(&current.token, current.ends_at, true);
    data.last_used_at = current.last_used_at();
    json(StatusCode::OK, &Data { data })
}

/// `DELETE /api/tokens/current`: logs out.
pub(super) async fn revoke_current(
    current: Current,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    match auth.revoke(current.token.id, Some(current.user.id)).await {
        // Somebody else revoked it between the check and now: it is what was asked for.
        Ok(()) | Err(auth::Error::NotFound(_)) => Ok(HttpResponse::NoContent().finish()),
        Err(error) => Err(error.into()),
    }
}

/// `DELETE /api/tokens/{id}`
pub(super) async fn revoke(
    current: Current,
    id: Path<String>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let id = id.parse().map_err(|_| auth::Error::NotFound("token"))?;
    auth.revoke(id, Some(current.user.id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /api/tokens`, `DELETE /api/tokens?except=current`
pub(super) async fn revoke_all(
    current: Current,
    query: Query<Vec<(String, String)>>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let except = match query.as_slice() {
        [] => None,
        [(key, value)] if key == "except" && value == "current" => Some(current.token.id),
        // A misspelt exception must not log everything out.
        _ => {
            let text = "The query must be empty or except=current.";
            return Err(auth::Error::Invalid(Faults::one("except", text)).into());
        }
    };
    auth.revoke_all(current.user.id, except).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Serialize)]
struct Listing<'a> {
    data: Vec<TokenBody<'a>>,
    meta: Meta,
    links: Links,
}

#[derive(Serialize)]
struct Meta {
    current_page: i64,
    last_page: i64,
    per_page: i64,
    total: i64,
}

#[derive(Serialize)]
struct Links {
    first: String,
    last: String,
    prev: Option<String>,
    next: Option<String>,
}

/// `GET /api/tokens`
pub(super) async fn list(
    current: Current,
    query: Query<Vec<(String, String)>>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let (current_page, per_page) = paging(&query)?;
    let page = auth.tokens_of(current.user.id, current_page, per_page).await?;
    let last_page = ((page.total + per_page - 1) / per_page).max(1);
    let link = |number: i64| format!("/api/tokens?page={number}&per_page={per_page}");
    let body = Listing {
        data: page
            .rows
            .iter()
            .map(|token| TokenBody::new(token, auth.end_of(token), token.id == current.token.id))
            .collect(),
        meta: Meta { current_page, last_page, per_page, total: page.total },
        links: Links {
            first: link(1),
            last: link(last_page),
            prev: (current_page > 1).then(|| link((current_page - 1).min(last_page))),
            next: (current_page < last_page).then(|| link(current_page + 1)),
        },
    };
    Ok(json(StatusCode::OK, &body))
}

/// `page` and `per_page` of a query: which page, counted from 1, and how many rows a page has.
fn paging(query: &[(String, String)]) -> Result<(i64, i64), ApiError> {
    let (mut page, mut per_page) = (None, None);
    let mut faults = Faults::new();
    for (key, value) in query {
        let (place, most) = match key.as_str() {
            "page" => (&mut page, 1_000_000_000),
            "per_page" => (&mut per_page, 100),
            _ => {
                faults.add("query", "The query may hold page and per_page alone.");
                continue;
            }
        };
        let number = value.parse().ok().filter(|number| (1..=most).contains(number));
        if number.is_none() || place.replace(number).is_some() {
            let name = key.replace('_', " ");
            let text = format!("The {name} field must be one whole number from 1 to {most}.");
            faults.add(key, text);
        }
    }
    match faults.is_empty() {
        true => Ok((page.flatten().unwrap_or(1), per_page.flatten().unwrap_or(15))),
        false => Err(auth::Error::Invalid(faults).into()),
    }
}
