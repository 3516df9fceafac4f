//! `/api/verify`, forward authentication: before a reverse proxy passes a request on, it asks whether the
//! request may pass. The answer's status says so, and its headers name the user.

use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use crate::auth::{Auth, Error, Session};
use crate::domain::{Abilities, ForwardAuthHeaders, Requirement, ValidationErrors};
use crate::http::guard::authenticate;
use crate::http::openapi::operation::{Operation, Query, tag};
use crate::http::request::original_request::original;
use crate::http::request::paging::query_pairs;
use crate::http::response::error::{Answer, ApiError};
use crate::http::response::user::RenderedUser;

pub(crate) const VERIFY: Operation =
    Operation::new(tag::PROXIES, "verify", "Check whether a request may pass, and name its user")
        .checks_token()
        .details(
            "For a reverse proxy, with any method. The token must have the abilities in the query. \
             If there are access rules, a trusted proxy names the original request as the setting \
             `forward_auth_headers` says: in `X-Forwarded-Method`, `X-Forwarded-Host` and \
             `X-Forwarded-Uri`; in `X-Original-Method` and `X-Original-URI` beside `Host`; in \
             `X-Original-Method` and `X-Original-URL`; or, as Envoy does, by its own method and host \
             and by its path and query behind `/api/verify`. If `Destination` names a second \
             resource, as it does with COPY and MOVE, the rules for that must allow it too. If the rules \
             make the request public, no token is required, and no identity headers are sent.",
        )
        .query(&[
            Query::Abilities("ability", "An ability that the token must have"),
            Query::Abilities("any", "Abilities of which the token must have one"),
        ])
        .answers_with(&[
            "remote-user",
            "x-auth-user-id",
            "x-auth-user-name",
            "x-auth-token-id",
            "x-auth-abilities",
        ])
        .refuses(&[
            || Error::Unclear("The path must not hold %2f or %5c.".to_owned()).into(),
            || Error::NoRule.into(),
            || Error::InsufficientScope("posts:read posts:write".to_owned()).into(),
        ]);

/// Any method and `/api/verify`
///
/// The requirements are read first: a question that can't be read is answered with 400 or 422 even without a
/// token. If nothing is required, the token is not read.
pub(crate) async fn verify(request: HttpRequest, auth: Data<Auth>) -> Answer {
    let requirements = requirements(&request, &auth)?;
    if requirements.is_empty() {
        return answer(None);
    }
    let session = authenticate(&request, &auth).await?;
    requirements.iter().try_for_each(|requirement| session.check(requirement))?;
    answer(Some(&session))
}

/// Everything that the request must have to pass.
///
/// # Errors
/// 400 if a header or the path can be read in two ways, or if there are rules and the question names neither
/// abilities nor a request; 403 if no rule matches; 422 for an invalid ability.
fn requirements(request: &HttpRequest, auth: &Auth) -> Result<Vec<Requirement>, ApiError> {
    let naming = auth.forward_auth_headers();
    let named = match (naming, request.query_string()) {
        // With Envoy, the query is the original request's.
        (Some(ForwardAuthHeaders::Envoy), _) | (_, "") => Vec::new(),
        (_, query) => abilities(query)?,
    };
    let original = match naming {
        Some(naming) => original(request, naming)?,
        None => None,
    };
    Ok(auth.requirements(named, original.as_ref())?)
}

/// The requirements that a query names: all abilities of `ability`, and one of the abilities of `any`. Both
/// may be repeated.
fn abilities(query: &str) -> Result<Vec<Requirement>, ApiError> {
    let (mut all, mut any, mut errors) = (Vec::new(), Vec::new(), ValidationErrors::new());
    for (key, value) in query_pairs(query) {
        match key.as_str() {
            "ability" => all.push(value),
            "any" => any.push(value),
            _ => errors.add("query", "The query may have only ability and any."),
        }
    }
    let mut named = Vec::new();
    let fields: [(_, _, fn(Abilities) -> _); 2] =
        [("ability", all, Requirement::All), ("any", any, Requirement::Any)];
    for (field, texts, requirement) in fields {
        match Abilities::parse(&texts) {
            Ok(_) if texts.is_empty() => {}
            Ok(abilities) => named.push(requirement(abilities)),
            Err(rule) => errors.add(field, format!("The {field} field {rule}.")),
        }
    }
    match errors.is_empty() {
        true => Ok(named),
        false => Err(Error::Invalid(errors).into()),
    }
}

/// The answer to a request that may pass. Its headers name the user, unless the request is public.
fn answer(session: Option<&Session>) -> Answer {
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    let Some(session) = session else { return Ok(response.finish()) };
    let [email, id, name] = RenderedUser::of(&session.user)?.headers.clone();
    // An application that misses one of the headers could take the request for another user's.
    let abilities = HeaderValue::from_str(session.abilities.as_scope())
        .map_err(|_| Error::Internal("the abilities can't be sent in a header".to_owned()))?;
    for (header, value) in [
        ("remote-user", email),
        ("x-auth-user-id", id),
        ("x-auth-user-name", name),
        ("x-auth-token-id", session.token.id.into()),
        ("x-auth-abilities", abilities),
    ] {
        response.insert_header((HeaderName::from_static(header), value));
    }
    Ok(response.finish())
}
