use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use crate::auth::{Auth, Error};
use crate::domain::Requirement;
use crate::http::fields;
use crate::http::openapi::answers::too_many_attempts;
use crate::http::openapi::operation::{Operation, tag};
use crate::http::request::body::{JsonBody, body};
use crate::http::request::client_address::ClientAddress;
use crate::http::request::extract::CurrentToken;
use crate::http::response::error::Answer;
use crate::http::response::json::{data, with_json};
use crate::http::response::user::{RenderedUser, UserBody};

body! {
    struct Account {
        name: fields::UserName,
        email: fields::Email,
        /// Required if the email changes, even if only in its spelling.
        current_password: Option<fields::Password>,
    }
}

body! {
    struct PasswordChange {
        current_password: fields::Password,
        password: fields::NewPassword,
    }
}

pub(crate) const SHOW: Operation =
    Operation::new(tag::ACCOUNT, "showAccount", "Show the owner of the token")
        .answers_data::<UserBody>(200);

/// `GET /api/user`
pub(crate) async fn show(current: CurrentToken) -> Answer {
    Ok(with_json(StatusCode::OK, RenderedUser::of(&current.user)?.account.clone()))
}

/// The ability that a token must have to change its owner's account.
pub(crate) const ACCOUNT: Requirement = Requirement::Ability("account:write");

pub(crate) const UPDATE: Operation =
    Operation::new(tag::ACCOUNT, "updateAccount", "Change your name and email")
        .details(
            "Send the present email to keep it. Another email, or another spelling of it, requires the \
             current password, and an administrator or the setting `email_change = \"self\"`. A former \
             email of another user may be reserved for that user.",
        )
        .reads::<Account>()
        .answers_data::<UserBody>(200)
        .refuses(&[
            too_many_attempts,
            || Error::EmailChangeDisabled.into(),
            || Error::Conflict.into(),
        ]);

/// `PUT /api/user`
pub(crate) async fn update(
    current: CurrentToken,
    from: ClientAddress,
    body: JsonBody,
    auth: Data<Auth>,
) -> Answer {
    let Account { name, email, current_password } = body.parse_update(Some(&current.user))?;
    let user = auth.update_own(&current, name, email, current_password, from.0).await?;
    Ok(data(StatusCode::OK, UserBody::from(&user)))
}

pub(crate) const CHANGE_PASSWORD: Operation =
    Operation::new(tag::ACCOUNT, "changePassword", "Change your password")
        .details("Revokes all your other tokens.")
        .reads::<PasswordChange>()
        .refuses(&[too_many_attempts, || Error::Conflict.into()]);

/// `PUT /api/user/password`
pub(crate) async fn change_password(
    current: CurrentToken,
    from: ClientAddress,
    body: JsonBody,
    auth: Data<Auth>,
) -> Answer {
    let PasswordChange { current_password, password } = body.parse()?;
    auth.change_own_password(&current, current_password, password, from.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
