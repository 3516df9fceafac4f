//! Administrators manage users and their tokens.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use serde::Serialize;
use utoipa::ToSchema;

use super::tokens::{TokenBody, list_tokens_of};
use crate::auth::{self, Auth, UserUpdate};
use crate::domain::{Abilities, Timestamp, User, ValidationErrors};
use crate::http::fields;
use crate::http::openapi::operation::{Operation, tag};
use crate::http::request::body::{JsonBody, body};
use crate::http::request::extract::CurrentToken;
use crate::http::request::paging::Paging;
use crate::http::response::error::Answer;
use crate::http::response::json::{data, json};
use crate::http::response::user::UserBody;

#[derive(Serialize, ToSchema)]
struct ManagedUser<'a> {
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
        /// The default is `*`.
        abilities: Option<fields::Abilities>,
        admin: Option<bool>,
        /// Accepts an email that is reserved for its last owner, and ends the reservation.
        reuse_email: Option<bool>,
    }
}

body! {
    /// Fields that are left out do not change. For your own account, `email` and `password` are refused.
    #[schema(examples(json!({"name": "Grace"})))]
    struct UserChange {
        name: Option<fields::UserName>,
        email: Option<fields::Email>,
        /// Accepts an email that is reserved for its last owner, and ends the reservation.
        reuse_email: Option<bool>,
        abilities: Option<fields::Abilities>,
        admin: Option<bool>,
        /// A disabled user can't log in, and the user's tokens are refused.
        disabled: Option<bool>,
        /// A new password revokes the user's tokens.
        password: Option<fields::NewPassword>,
    }
}

pub(crate) const LIST: Operation =
    Operation::new(tag::USERS, "listUsers", "List the users, oldest first")
        .answers_page::<ManagedUser>();

/// `GET /api/users`
pub(crate) async fn list(paging: Paging, auth: Data<Auth>) -> Answer {
    let page = auth.users_page(paging.page, paging.per_page).await?;
    Ok(json(StatusCode::OK, &paging.listing(&page, ManagedUser::from)))
}

pub(crate) const CREATE: Operation = Operation::new(tag::USERS, "createUser", "Create a user")
    .reads::<NewUser>()
    .answers_data::<ManagedUser>(201);

/// `POST /api/users`
pub(crate) async fn create(current: CurrentToken, body: JsonBody, auth: Data<Auth>) -> Answer {
    let NewUser { name, email, password, abilities, admin, reuse_email } = body.parse()?;
    let abilities = abilities.unwrap_or_else(Abilities::all);
    let admin = admin.unwrap_or(false);
    let user = auth::NewUser { name, email, password, abilities, admin };
    let user = match reuse_email {
        Some(true) => auth.create_user_reusing_email(current.actor(), user).await?,
        Some(false) | None => auth.create_user(current.actor(), user).await?,
    };
    Ok(data(StatusCode::CREATED, ManagedUser::from(&user)))
}

pub(crate) const SHOW: Operation =
    Operation::new(tag::USERS, "showUser", "Show a user").answers_data::<ManagedUser>(200);

/// `GET /api/users/{id}`
pub(crate) async fn show(id: Path<i64>, auth: Data<Auth>) -> Answer {
    Ok(data(StatusCode::OK, ManagedUser::from(&auth.user(*id).await?)))
}

pub(crate) const UPDATE: Operation = Operation::new(tag::USERS, "updateUser", "Change a user")
    .details(
        "The last enabled administrator can't be disabled or demoted. While a user is disabled, none of \
         their tokens is accepted; once the user is enabled, tokens that have not expired are accepted \
         again. Your own email and password are refused here: change them with `PUT /api/user` and \
         `PUT /api/user/password`, which require the current password.",
    )
    .reads::<UserChange>()
    .answers_data::<ManagedUser>(200);

/// `PATCH /api/users/{id}`
pub(crate) async fn update(
    current: CurrentToken,
    id: Path<i64>,
    body: JsonBody,
    auth: Data<Auth>,
) -> Answer {
    let UserChange { name, email, reuse_email, abilities, admin, disabled, password } =
        body.parse()?;
    let reuse_email = reuse_email.unwrap_or(false);
    let update = UserUpdate { name, email, reuse_email, abilities, admin, disabled, password };
    let (user, _) = auth.update_user(current.actor(), *id, update).await?;
    Ok(data(StatusCode::OK, ManagedUser::from(&user)))
}

pub(crate) const DELETE: Operation =
    Operation::new(tag::USERS, "deleteUser", "Delete a user and all their tokens")
        .details("The last enabled administrator can't be deleted.")
        .refuses(&[|| {
            let text = "The last enabled administrator can't be removed, disabled or demoted.";
            auth::Error::Invalid(ValidationErrors::one("admin", text)).into()
        }]);

/// `DELETE /api/users/{id}`
pub(crate) async fn delete(current: CurrentToken, id: Path<i64>, auth: Data<Auth>) -> Answer {
    auth.delete_user(current.actor(), *id).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) const LIST_TOKENS: Operation =
    Operation::new(tag::USERS, "listUserTokens", "List a user's live tokens, newest first")
        .answers_page::<TokenBody>();

/// `GET /api/users/{id}/tokens`
pub(crate) async fn list_tokens(
    current: CurrentToken,
    id: Path<i64>,
    paging: Paging,
    auth: Data<Auth>,
) -> Answer {
    let owner = auth.user(*id).await?.id;
    list_tokens_of(owner, &paging, &current, &auth).await
}

pub(crate) const REVOKE_TOKENS: Operation =
    Operation::new(tag::USERS, "revokeUserTokens", "Revoke all tokens of a user");

/// `DELETE /api/users/{id}/tokens`
pub(crate) async fn revoke_tokens(
    current: CurrentToken,
    id: Path<i64>,
    auth: Data<Auth>,
) -> Answer {
    let owner = auth.user(*id).await?.id;
    auth.revoke_all(current.actor(), owner, None).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) const REVOKE_TOKEN: Operation =
    Operation::new(tag::USERS, "revokeUserToken", "Revoke a token of a user");

/// `DELETE /api/users/{id}/tokens/{token}`
pub(crate) async fn revoke_token(
    current: CurrentToken,
    ids: Path<(i64, i64)>,
    auth: Data<Auth>,
) -> Answer {
    let (owner, token) = *ids;
    auth.revoke(current.actor(), token, Some(owner)).await?;
    Ok(HttpResponse::NoContent().finish())
}
