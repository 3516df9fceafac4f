//! The parts of OAuth 2.0 for a resource server: introspection (RFC 7662), revocation (RFC 7009), and the
//! metadata that lists both (RFC 8414).

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures_util::future::LocalBoxFuture;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{self, Auth, Session};
use crate::domain::{Email, Timestamp};
use crate::http::fields;
use crate::http::openapi::operation::{Operation, tag};
use crate::http::request::body::read_body;
use crate::http::request::extract::CurrentToken;
use crate::http::response::error::{Answer, ApiError};
use crate::http::response::json::json;

/// The media type of OAuth's requests.
const FORM: &str = "application/x-www-form-urlencoded";
const INVALID: ApiError =
    ApiError::InvalidRequest("The form must have one field token, with a token.");

/// The name of the route of `/docs`, if the pages are served.
const DOCS_ROUTE: &str = "bearerd:/docs";

/// The server's URL as clients reach it: the issuer of RFC 8414.
#[derive(Clone, Debug)]
pub struct IssuerUrl(pub String);

/// RFC 7662, section 2.2. For a token that is not live, only `active` is sent.
#[derive(Default, Serialize, ToSchema)]
struct Introspection<'a> {
    active: bool,
    /// The token's abilities, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    scope: Option<&'a str>,
    /// The token's name. bearerd has no clients with ids of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    client_id: Option<&'a str>,
    /// The owner's email. It may change: identify users by `sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = fields::Email, required = false)]
    username: Option<&'a Email>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false)]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false)]
    iat: Option<i64>,
    /// The owner's id. It is never given to another user.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    iss: Option<&'a str>,
}

impl<'a> Introspection<'a> {
    fn of(session: &'a Session, issuer: &'a IssuerUrl) -> Self {
        Self {
            active: true,
            scope: Some(session.abilities.as_scope()),
            client_id: Some(session.token.name.as_str()),
            username: Some(&session.user.email),
            token_type: Some("Bearer"),
            exp: session.token.expires_at.map(Timestamp::as_unix),
            iat: Some(session.token.created_at.as_unix()),
            sub: Some(session.user.id.to_string()),
            iss: Some(&issuer.0),
        }
    }
}

pub(crate) const INTROSPECT: Operation =
    Operation::new(tag::PROXIES, "introspect", "Describe a token (RFC 7662)")
        .reads_form::<HeldToken>(FORM)
        .answers::<Introspection>(200)
        .refuses(&[|| INVALID]);

/// `POST /api/introspect`
pub(crate) async fn introspect(
    current: CurrentToken,
    token: PostedToken,
    auth: Data<Auth>,
    issuer: Data<IssuerUrl>,
) -> Answer {
    auth.confirm(&current).await?;
    let session = match auth.authenticate(&token.0).await {
        Err(auth::Error::InvalidToken) => None,
        session => Some(session?),
    };
    let answer = session.as_deref().map(|session| Introspection::of(session, &issuer));
    Ok(json(StatusCode::OK, &answer.unwrap_or_default()))
}

pub(crate) const REVOKE: Operation = Operation::new(
    tag::PROXIES,
    "revoke",
    "Revoke a token (RFC 7009)",
)
.details(
    "Revokes a token of any user, even if it has expired or its owner is disabled. An unknown \
             token is a success too.",
)
.reads_form::<HeldToken>(FORM)
.answers_with(&[])
.refuses(&[|| INVALID]);

/// `POST /api/revoke`: revokes a token of any owner, in any state. To know its string is enough.
pub(crate) async fn revoke(current: CurrentToken, token: PostedToken, auth: Data<Auth>) -> Answer {
    auth.revoke_sent(&current, &token.0).await?;
    Ok(HttpResponse::Ok().finish())
}

/// The form of both requests. Its schema is described here; [`PostedToken`] reads it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the derived schema alone")]
struct HeldToken {
    /// The token's string.
    #[schema(min_length = 1)]
    token: String,
    /// Ignored: bearerd finds a token without it.
    #[schema(required = false)]
    token_type_hint: String,
}

/// The field `token` of a form, as a handler's argument. Unknown fields are ignored (RFC 6749, section 3.2).
pub(crate) struct PostedToken(Zeroizing<Vec<u8>>);

impl FromRequest for PostedToken {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read_body(request, payload, "a form", FORM);
        Box::pin(async {
            let body = body.await?;
            let mut tokens = form_urlencoded::parse(&body).filter(|(field, _)| field == "token");
            match (tokens.next(), tokens.next()) {
                (Some((_, token)), None) if !token.is_empty() => {
                    let token = Zeroizing::new(token.into_owned());
                    // Trimmed like a header: a token from a file often ends with a line break.
                    Ok(Self(Zeroizing::new(token.trim_ascii().as_bytes().to_vec())))
                }
                _ => Err(INVALID),
            }
        })
    }
}

/// RFC 8414, section 2.
#[derive(Serialize, ToSchema)]
struct Metadata<'a> {
    issuer: &'a str,
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 0],
    /// The URL of `/docs`. Only if the pages are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    service_documentation: Option<String>,
}

pub(crate) const METADATA: Operation =
    Operation::new(tag::PROXIES, "metadata", "Name the endpoints for OAuth's clients (RFC 8414)")
        .answers::<Metadata>(200);

/// `GET /.well-known/oauth-authorization-server`
pub(crate) async fn metadata(request: HttpRequest, issuer: Data<IssuerUrl>) -> HttpResponse {
    const METHODS: [&str; 2] = ["client_secret_basic", "bearer"];
    let IssuerUrl(issuer) = &**issuer;
    let has_pages = request.url_for_static(DOCS_ROUTE).is_ok();
    let metadata = Metadata {
        issuer,
        introspection_endpoint: format!("{issuer}/api/introspect"),
        introspection_endpoint_auth_methods_supported: METHODS,
        revocation_endpoint: format!("{issuer}/api/revoke"),
        revocation_endpoint_auth_methods_supported: METHODS,
        // bearerd has neither an authorization endpoint nor a token endpoint of OAuth's.
        response_types_supported: [],
        grant_types_supported: [],
        service_documentation: has_pages.then(|| format!("{issuer}/docs")),
    };
    json(StatusCode::OK, &metadata)
}
