//! Administration: users, and their tokens, for administrators.

use actix_web::http::StatusCode;
use actix_web::web::{self, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::tokens::TokenBody;
use super::user::UserBody;
use crate::auth::{self, Auth, UserUpdate};
use crate::domain::{Abilities, Timestamp, User};
use crate::http::fields;
use crate::http::request::body::{JsonBody, body};
use crate::http::request::extract::CurrentToken;
use crate::http::request::paging::{Paging, row_id};
use crate::http::response::error::ApiError;
use crate::http::response::json::{Data, json};

#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ManagedUser<'a> {
    #[serde(flatten)]
    user: UserBody<'a>,
    #[schema(value_type = Option<fields::Time>, required)]
    disabled_at: Option<Timestamp>,
}

impl<'a> From<&'a User> for ManagedUser<'a> {
    fn from(user: &'a User) -> Self {
        Self { user: user.into(), disabled_at: user.disabled_at }
    }
}

body! {
    #[schema(examples(json!({"name": "Grace", "email": "grace@example.org", "password": "correct horse"})))]
    struct NewUser {
        name: fields::UserName,
        email: fields::Email,
        password: fields::NewPassword,
        /// Every ability, unless given.
        abilities: Option<fields::Abilities>,
        admin: Option<bool>,
        /// Lets the user have an email that its last owner has given up, and ends its reservation.
        reuse_email: Option<bool>,
    }
}

body! {
    /// What is not given stays as it is. For one's own account, `email` and `password` are refused.
    #[schema(examples(json!({"name": "Grace"})))]
    struct UserChange {
        name: Option<fields::UserName>,
        email: Option<fields::Email>,
        /// Lets the user have an email that its last owner has given up, and ends its reservation.
        reuse_email: Option<bool>,
        abilities: Option<fields::Abilities>,
        admin: Option<bool>,
        /// Shuts the user and all their tokens out.
        disabled: Option<bool>,
        /// Revokes the user's tokens.
        password: Option<fields::NewPassword>,
    }
}

fn answer(status: StatusCode, user: &User) -> HttpResponse {
    json(status, &Data { data: ManagedUser::from(user) })
}

/// `GET /api/users`
pub(in crate::http) async fn list(
    request: HttpRequest,
    query: Query<Vec<(String, String)>>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let paging = Paging::read(&query)?;
    let page = auth.users_page(paging.page, paging.per_page).await?;
    Ok(json(StatusCode::OK, &paging.listing(request.path(), &page, ManagedUser::from)))
}

/// `POST /api/users`
pub(in crate::http) async fn create(
    current: CurrentToken,
    request: HttpRequest,
    body: web::Payload,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let form = JsonBody::read(&request, body).await?;
    let NewUser { name, email, password, abilities, admin, reuse_email } = form.parse()?;
    let abilities = abilities.unwrap_or_else(Abilities::all);
    let admin = admin.unwrap_or(false);
    let user = auth::NewUser { name, email, password, abilities, admin };
    let user = match reuse_email {
        Some(true) => auth.create_user_reusing_email(current.actor(), user).await?,
        Some(false) | None => auth.create_user(current.actor(), user).await?,
    };
    Ok(answer(StatusCode::CREATED, &user))
}

/// `GET /api/users/{id}`
pub(in crate::http) async fn show(
    id: Path<String>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    Ok(answer(StatusCode::OK, &auth.user(row_id(&id, "user")?).await?))
}

/// `PATCH /api/users/{id}`
pub(in crate::http) async fn update(
    current: CurrentToken,
    id: Path<String>,
    request: HttpRequest,
    body: web::Payload,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let id = row_id(&id, "user")?;
    let form = JsonBody::read(&request, body).await?;
    let UserChange { name, email, reuse_email, abilities, admin, disabled, password } =
        form.parse()?;
    let reuse_email = reuse_email.unwrap_or(false);
    let update = UserUpdate { name, email, reuse_email, abilities, admin, disabled, password };
    let (user, _) = auth.update_user(current.actor(), id, update).await?;
    Ok(answer(StatusCode::OK, &user))
}

/// `DELETE /api/users/{id}`
pub(in crate::http) async fn delete(
    current: CurrentToken,
    id: Path<String>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    auth.delete_user(current.actor(), row_id(&id, "user")?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /api/users/{id}/tokens`
pub(in crate::http) async fn list_tokens(
    current: CurrentToken,
    id: Path<String>,
    request: HttpRequest,
    query: Query<Vec<(String, String)>>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let owner = auth.user(row_id(&id, "user")?).await?.id;
    let paging = Paging::read(&query)?;
    let page = auth.tokens_of(owner, paging.page, paging.per_page).await?;
    let row = |token| TokenBody::row(token, &auth, &current);
    Ok(json(StatusCode::OK, &paging.listing(request.path(), &page, row)))
}

/// `DELETE /api/users/{id}/tokens`
pub(in crate::http) async fn revoke_tokens(
    current: CurrentToken,
    id: Path<String>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let owner = auth.user(row_id(&id, "user")?).await?.id;
    auth.revoke_all(current.actor(), owner, None).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /api/users/{id}/tokens/{token}`
pub(in crate::http) async fn revoke_token(
    current: CurrentToken,
    ids: Path<(String, String)>,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let (owner, token) = (row_id(&ids.0, "user")?, row_id(&ids.1, "token")?);
    auth.revoke(current.actor(), token, Some(owner)).await?;
    Ok(HttpResponse::NoContent().finish())
}
