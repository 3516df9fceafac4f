//! A user in answers: as JSON, and as the headers of `/api/verify`.

use std::borrow::Cow;

use actix_web::http::header::HeaderValue;
use actix_web::web::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiError;
use super::json::{Data, to_json};
use crate::auth::{self, CachedUser};
use crate::domain::{Abilities, Email, Name, Timestamp, User};
use crate::http::fields;

#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserBody<'a> {
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

/// The texts of a user's answers. A cached user keeps them, so that they are written once.
pub(crate) struct RenderedUser {
    /// The body of `GET /api/user`.
    pub(crate) account: Bytes,
    /// The values of `Remote-User`, `X-Auth-User-Id` and `X-Auth-User-Name`.
    pub(crate) headers: [HeaderValue; 3],
}

/// The cache reserves this much for each user.
const _: () = assert!(size_of::<Option<RenderedUser>>() <= CachedUser::RENDERED);

impl RenderedUser {
    /// The texts of this user, which are written if this is the first call.
    ///
    /// # Errors
    /// 500 if the user can't be written.
    pub(crate) fn of(user: &CachedUser) -> Result<&Self, ApiError> {
        let rendered = user.rendered(Self::render).and_then(Option::as_ref);
        let failed = || auth::Error::Internal(format!("user {} can't be written", user.id));
        rendered.ok_or_else(|| failed().into())
    }

    fn render(user: &User) -> Option<Self> {
        let account = to_json(&Data { data: UserBody::from(user) }).ok()?.into_boxed_slice().into();
        let header = |text: String| HeaderValue::from_maybe_shared(Bytes::from(text)).ok();
        let email = header(header_email(user.email.as_str()).into_owned())?;
        let name = header(header_text(user.name.as_str()).into_owned())?;
        Some(Self { account, headers: [email, user.id.into(), name] })
    }
}

/// The characters that percent-encoding does not change.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as a header's value. It is percent-encoded if it is not ASCII, has a control character, or has a
/// percent sign, which would make it look encoded.
fn header_text(text: &str) -> Cow<'_, str> {
    match text.is_ascii() && !text.contains(|c: char| c == '%' || c.is_ascii_control()) {
        true => text.into(),
        false => utf8_percent_encode(text, KEPT).into(),
    }
}

/// An email as a header's value, in UTF-8. Another program may have stored an email that a header can't hold,
/// or whose blank ends a header would lose. Such an email is percent-encoded: it then has no `@`, so that no
/// other email has the same value.
fn header_email(email: &str) -> Cow<'_, str> {
    let breaks = |c: char| c.is_control() || c.is_whitespace();
    match email.contains('@') && !email.contains(breaks) {
        true => email.into(),
        false => utf8_percent_encode(email, KEPT).into(),
    }
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
            ("A\u{1b}da", "A%1Bda"),
        ] {
            assert_eq!(header_text(name), value);
        }
    }

    #[test]
    fn an_email_that_is_encoded_is_no_other_email() {
        for (email, value) in [
            ("ada@example.org", "ada@example.org"),
            ("jörg@bücher.example", "jörg@bücher.example"),
            ("a%1Bda@example.org", "a%1Bda@example.org"),
            ("a\u{1b}da@example.org", "a%1Bda%40example.org"),
            (" ada@example.org", "%20ada%40example.org"),
            ("a%1Bda%40example.org", "a%251Bda%2540example.org"),
        ] {
            assert_eq!(header_email(email), value);
        }
    }
}
