use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{self, Auth};
use crate::domain::{Abilities, Email, Name, Requirement, Timestamp, User};
use crate::http::fields;
use crate::http::request::body::{JsonBody, body};
use crate::http::request::client_address::ClientAddress;
use crate::http::request::extract::CurrentToken;
use crate::http::response::error::ApiError;
use crate::http::response::json::{Data, json, to_json, with_json};

#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(in crate::http) struct UserBody<'a> {
    #[schema(value_type = fields::Id)]
    id: i64,
    #[schema(value_type = fields::UserName)]
    name: &'a Name,
    #[schema(value_type = fields::Email)]
    email: &'a Email,
    #[schema(value_type = fields::Abilities)]
    abilities: &'a Abilities,
    admin: bool,
    #[schema(value_type = fields::Time)]
    created_at: Timestamp,
    #[schema(value_type = fields::Time)]
    updated_at: Timestamp,
}

impl<'a> From<&'a User> for UserBody<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id,
            name: &user.name,
            email: &user.email,
            abilities: &user.abilities,
            admin: user.admin,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

body! {
    struct Account {
        name: fields::UserName,
        email: fields::Email,
        /// Needed for an email in any other spelling than the present one.
        current_password: Option<fields::Password>,
    }
}

body! {
    struct PasswordChange {
        current_password: fields::Password,
        password: fields::NewPassword,
    }
}

/// `GET /api/user`
pub(in crate::http) async fn show(current: CurrentToken) -> Result<HttpResponse, ApiError> {
    let body = current.user.account(|user| {
        let body = to_json(&Data { data: UserBody::from(user) });
        body.map(|body| body.into_boxed_slice().into())
    });
    let unwritten = |error| auth::Error::Internal(format!("a user can't be written: {error}"));
    Ok(with_json(StatusCode::OK, body.map_err(unwritten)?))
}

/// What it takes to change one's own account.
pub(in crate::http) const ACCOUNT: Requirement = Requirement::Ability("account:write");

/// `PUT /api/user`
pub(in crate::http) async fn update(
    current: CurrentToken,
    from: ClientAddress,
    request: HttpRequest,
    body: web::Payload,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let form = JsonBody::read(&request, body).await?;
    let Account { name, email, current_password } = form.keeping(&current.user).parse()?;
    let user = auth.update_own(&current, name, email, current_password, from.0).await?;
    Ok(json(StatusCode::OK, &Data { data: UserBody::from(&user) }))
}

/// `PUT /api/user/password`
pub(in crate::http) async fn change_password(
    current: CurrentToken,
    from: ClientAddress,
    request: HttpRequest,
    body: web::Payload,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let form = JsonBody::read(&request, body).await?;
    let PasswordChange { current_password, password } = form.parse()?;
    auth.change_own_password(&current, current_password, password, from.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
