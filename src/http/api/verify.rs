//! `/api/verify`, forward authentication: a reverse proxy asks, before it passes a request on,
//! whether its token may do what it is about. The answer's status says so, and its headers say who
//! it is.

use std::borrow::Cow;

use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::web::{Bytes, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::auth::{self, Auth, Session};
use crate::domain::{Abilities, ForwardAuthHeaders, Requirement, User, ValidationErrors};
use crate::http::guard::authenticate;
use crate::http::request::original_request::original;
use crate::http::response::error::ApiError;

/// `/api/verify`: whether a request may pass, and who sends it.
///
/// The requirements are read first, and the token only if there are any: a question that can't be read is
/// answered with 400 or 422 even without a token.
pub(in crate::http) async fn verify(
    request: HttpRequest,
    auth: Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let requirements = requirements(&request, &auth)?;
    if requirements.is_empty() {
        return answer(None);
    }
    let session = authenticate(&request, &auth).await?;
    requirements.iter().try_for_each(|requirement| session.check(requirement))?;
    answer(Some(&session))
}

/// All that a request to `/api/verify` must have to be let through.
///
/// # Errors
/// 400 for headers or a path that can be read in two ways, and where neither abilities nor a
/// request are named though there are rules; 403 where no rule matches; 422 for what is no ability.
fn requirements(request: &HttpRequest, auth: &Auth) -> Result<Vec<Requirement>, ApiError> {
    let naming = auth.forward_auth_headers();
    let named = match (naming, request.query_string()) {
        // That query is the original request's.
        (Some(ForwardAuthHeaders::Envoy), _) | (_, "") => Vec::new(),
        (_, query) => abilities(query)?,
    };
    let original = match naming {
        Some(naming) => original(request, naming)?,
        None => None,
    };
    Ok(auth.requirements(named, original.as_ref())?)
}

/// The abilities that a query names: `ability` as often as it likes, all of them; `any` likewise, any
/// of them.
fn abilities(query: &str) -> Result<Vec<Requirement>, ApiError> {
    let pairs = Query::<Vec<(String, String)>>::from_query(query)
        .map_err(|error| ApiError::Malformed(format!("The query can't be read: {error}.")))?;
    let (mut all, mut any, mut faults) = (Vec::new(), Vec::new(), ValidationErrors::new());
    for (key, value) in pairs.into_inner() {
        match key.as_str() {
            "ability" => all.push(value),
            "any" => any.push(value),
            _ => faults.add("query", "The query may hold ability and any alone."),
        }
    }
    let mut named = Vec::new();
    let requirements: [fn(Abilities) -> _; 2] = [Requirement::All, Requirement::Any];
    for ((field, texts), requirement) in
        [("ability", all), ("any", any)].into_iter().zip(requirements)
    {
        match Abilities::parse(&texts) {
            Ok(_) if texts.is_empty() => {}
            Ok(abilities) => named.push(requirement(abilities)),
            Err(rule) => faults.add(field, format!("The {field} field {rule}.")),
        }
    }
    match faults.is_empty() {
        true => Ok(named),
        false => Err(auth::Error::Invalid(faults).into()),
    }
}

/// The answer to a request that may pass: who sends it, in headers. Nobody, if it is public.
fn answer(session: Option<&Session>) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    let Some(session) = session else { return Ok(response.finish()) };
    let owner = session.user.headers(header_texts).clone();
    let [email, id, name] = owner.map(HeaderValue::from_maybe_shared);
    for (name, value) in [
        ("remote-user", email),
        ("x-auth-user-id", id),
        ("x-auth-user-name", name),
        ("x-auth-token-id", Ok(session.token.id.into())),
        ("x-auth-abilities", HeaderValue::from_str(session.abilities.as_scope())),
    ] {
        // Without one of them the application would take the request for somebody else's.
        let value = value.map_err(|_| auth::Error::Internal(format!("{name} can't be sent")))?;
        response.insert_header((HeaderName::from_static(name), value));
    }
    Ok(response.finish())
}

/// A user's email, number and name, as headers' values.
fn header_texts(user: &User) -> [Bytes; 3] {
    let (name, email) = (header_text(user.name.as_str()), header_email(user.email.as_str()));
    [email.into_owned(), user.id.to_string(), name.into_owned()].map(Bytes::from)
}

/// What percent-encoding leaves as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as a header's value: percent-encoded if it is not ASCII, or if it would look encoded.
fn header_text(text: &str) -> Cow<'_, str> {
    match text.is_ascii() && !text.contains(|c: char| c == '%' || c.is_ascii_control()) {
        true => text.into(),
        false => utf8_percent_encode(text, KEPT).into(),
    }
}

/// An email as a header's value: as it is, in UTF-8. One that another program has stored, and that a
/// header can't hold or would lose the ends of, is percent-encoded, so that it has no `@`, and no other
/// email has the same value.
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
