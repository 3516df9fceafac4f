use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Data, json, write, written};
use super::body::{JsonBody, lacking};
use super::client_address::ClientAddress;
use super::error::ApiError;
use super::extract::Current;
use super::guard::Needs;
use super::openapi::fields;
use crate::auth::{Auth, Owner, Shown};
use crate::domain::{Abilities, Email, Name, Password, Timestamp, User};

#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct UserBody<'a> {
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

/// A token's owner, as answers show them.
pub(super) fn shown(owner: &Owner) -> &Shown {
    owner.shown(|user| Shown {
        account: write(&Data { data: UserBody::from(user) }),
        id: user.id.to_string().into(),
        // As it is, in UTF-8: two emails must never look alike to the application behind.
        email: user.email.as_str().to_owned().into(),
        name: header_text(user.name.as_str()).into_owned().into(),
    })
}

/// A text as a header's value: percent-encoded if it is not ASCII, or if it would look encoded.
fn header_text(text: &str) -> Cow<'_, str> {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    match text.is_ascii() && !text.contains('%') {
        true => text.into(),
        false => utf8_percent_encode(text, KEPT).into(),
    }
}

/// `GET /api/user`
pub(super) async fn show(current: Current) -> HttpResponse {
    written(StatusCode::OK, shown(&current.user).account.clone())
}

/// What it takes to change one's own account.
pub(super) const ACCOUNT: Needs = Needs::Ability("account:write");

/// `PUT /api/user`
pub(super) async fn update(
    current: Current,
    from: ClientAddress,
    request: HttpRequest,
    body: web::Payload,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let mut form = JsonBody::read(&request, body).await?;
    let name = form.required("name", |text| Name::parse(&text));
    let email = form.required("email", |text| Email::parse(&text));
    let password = form.optional("current_password", Password::claimed);
    form.finish()?;
    let (Some(name), Some(email)) = (name, email) else { return Err(lacking()) };
    let user = auth.update_own(&current, name, email, password, from.0).await?;
    Ok(json(StatusCode::OK, &Data { data: UserBody::from(&user) }))
}

/// `PUT /api/user/password`
pub(super) async fn change_password(
    current: Current,
    from: ClientAddress,
    request: HttpRequest,
    body: web::Payload,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let mut form = JsonBody::read(&request, body).await?;
    let old = form.required("current_password", Password::claimed);
    let new = form.required("password", Password::chosen);
    form.finish()?;
    let (Some(old), Some(new)) = (old, new) else { return Err(lacking()) };
    auth.change_own_password(&current, old, new, from.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_encoded_where_it_would_not_read_as_itself() {
        for (name, value) in [
            ("Ada Lovelace", "Ada Lovelace"),
            ("Jörg", "J%C3%B6rg"),
            ("Jörg O'Neil", "J%C3%B6rg%20O%27Neil"),
            ("J%C3%B6rg", "J%25C3%25B6rg"),
        ] {
            assert_eq!(header_text(name), value);
        }
    }
}
