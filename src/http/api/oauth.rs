//! What OAuth 2.0 has for a resource server: introspection (RFC 7662), revocation (RFC 7009), and the
//! metadata that names both (RFC 8414).

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{self, Auth, Session};
use crate::domain::{Email, Timestamp};
use crate::http::fields;
use crate::http::request::body::{has_type, read_body};
use crate::http::request::extract::CurrentToken;
use crate::http::response::error::ApiError;
use crate::http::response::json::json;

/// The media type of OAuth's requests.
pub(in crate::http) const FORM: &str = "application/x-www-form-urlencoded";

/// What the page that shows the API is called among the routes.
const VIEWER: &str = "bearerd:/docs";

/// The server's URL as others reach it: RFC 8414's issuer.
#[derive(Clone, Debug)]
pub struct IssuerUrl(pub String);

/// RFC 7662, section 2.2. Of a token that is not live, nothing but that is told.
#[derive(Default, Serialize, ToSchema)]
pub(in crate::http) struct Introspection<'a> {
    active: bool,
    /// What it can do, space-separated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    scope: Option<&'a str>,
    /// What the token is called: the closest to a client that there is.
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
    /// The owner's number; never given twice.
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

/// `POST /api/introspect`
pub(in crate::http) async fn introspect(
    current: CurrentToken,
    request: HttpRequest,
    body: web::Payload,
    auth: web::Data<Auth>,
    issuer: web::Data<IssuerUrl>,
) -> Result<HttpResponse, ApiError> {
    let token = posted_token(&request, body).await?;
    auth.confirm(&current).await?;
    let session = match auth.authenticate(&token).await {
        Err(auth::Error::InvalidToken) => None,
        session => Some(session?),
    };
    let told = session.as_deref().map(|session| Introspection::of(session, &issuer));
    Ok(json(StatusCode::OK, &told.unwrap_or_default()))
}

/// `POST /api/revoke`: the holder of a token's string may revoke it, for any owner and in any state.
pub(in crate::http) async fn revoke(
    current: CurrentToken,
    request: HttpRequest,
    body: web::Payload,
    auth: web::Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let token = posted_token(&request, body).await?;
    auth.revoke_sent(&current, &token).await?;
    Ok(HttpResponse::Ok().finish())
}

/// OAuth's form. Other fields don't matter.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the derived schema alone")]
pub(in crate::http) struct HeldToken {
    /// The token's string.
    #[schema(min_length = 1)]
    token: String,
    /// Not needed to find it.
    #[schema(required = false)]
    token_type_hint: String,
}

/// The field `token` of [`HeldToken`]. Fields that are not known here don't matter (RFC 6749, section 3.2).
async fn posted_token(
    request: &HttpRequest,
    body: web::Payload,
) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    if !has_type(request, FORM) {
        return Err(ApiError::UnsupportedType("a form", FORM));
    }
    let body = read_body(body).await?;
    let mut tokens = form_urlencoded::parse(&body).filter(|(field, _)| field == "token");
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) if !token.is_empty() => {
            let token = Zeroizing::new(token.into_owned());
            // As in a header: a token read from a file often has a line break at its end.
            Ok(Zeroizing::new(token.trim_ascii().as_bytes().to_vec()))
        }
        _ => Err(ApiError::InvalidRequest("The form must have one field token, with a token.")),
    }
}

/// RFC 8414, section 2.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Metadata<'a> {
    issuer: &'a str,
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 0],
    /// Where the pages are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    service_documentation: Option<String>,
}

/// `GET /.well-known/oauth-authorization-server`
pub(in crate::http) async fn metadata(
    request: HttpRequest,
    issuer: web::Data<IssuerUrl>,
) -> HttpResponse {
    const METHODS: [&str; 2] = ["client_secret_basic", "bearer"];
    let IssuerUrl(issuer) = &**issuer;
    let has_pages = request.url_for_static(VIEWER).is_ok();
    let metadata = Metadata {
        issuer,
        introspection_endpoint: format!("{issuer}/api/introspect"),
        introspection_endpoint_auth_methods_supported: METHODS,
        revocation_endpoint: format!("{issuer}/api/revoke"),
        revocation_endpoint_auth_methods_supported: METHODS,
        // There is no authorization endpoint, and no token endpoint of OAuth's.
        response_types_supported: [],
        grant_types_supported: [],
        service_documentation: has_pages.then(|| format!("{issuer}/docs")),
    };
    json(StatusCode::OK, &metadata)
}
