//! The original request, which a reverse proxy asks `/api/verify` about. It is read where the setting
//! `forward_auth_headers` says that the proxy writes it, and nowhere else: the proxy may pass on
//! whatever else the client sent.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::uri::PathAndQuery;

use super::error::ApiError;
use super::routes::VERIFY;
use crate::auth::Original;
use crate::config::TrustedProxies;
use crate::domain::{ForwardAuthHeaders, split_url};

static FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
static ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
static ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
static ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");

/// Reads the original request of a question to `/api/verify`; none if the question names none.
///
/// # Errors
/// 400 if the peer is no trusted proxy, or if a part of the request is missing, is named twice or is
/// malformed.
pub(super) fn original(
    request: &ServiceRequest,
    naming: ForwardAuthHeaders,
) -> Result<Option<Original>, ApiError> {
    use ForwardAuthHeaders::{Envoy, XForwarded, XOriginalUri, XOriginalUrl};
    let headers = request.headers();
    let has = |name| headers.contains_key(name);
    let is_named = match naming {
        XForwarded => has(&FORWARDED_URI) || has(&FORWARDED_METHOD) || has(&FORWARDED_HOST),
        XOriginalUri => has(&ORIGINAL_URI) || has(&ORIGINAL_METHOD),
        XOriginalUrl => has(&ORIGINAL_URL) || has(&ORIGINAL_METHOD),
        Envoy => true,
    };
    if !is_named {
        return Ok(None);
    }
    trust(request)?;
    let unread = |part: &str| {
        ApiError::Malformed(format!(
            "The proxy must name the original request in {naming}. {part} must be sent once, in ASCII."
        ))
    };
    let once = |name: &'static HeaderName| only(headers, name).ok_or_else(|| unread(name.as_str()));
    let text = |name: &'static HeaderName| {
        let value = once(name)?.to_str().map_err(|_| unread(name.as_str()))?;
        Ok::<_, ApiError>(value.to_owned())
    };
    let own_host = || own_host(request).map(str::to_owned).ok_or_else(|| unread("The host"));
    let original = match naming {
        XForwarded => Original {
            method: text(&FORWARDED_METHOD)?,
            host: text(&FORWARDED_HOST)?,
            uri: once(&FORWARDED_URI)?.as_bytes().to_owned(),
        },
        XOriginalUri => Original {
            method: text(&ORIGINAL_METHOD)?,
            host: own_host()?,
            uri: once(&ORIGINAL_URI)?.as_bytes().to_owned(),
        },
        XOriginalUrl => {
            let (host, uri) = split_url(once(&ORIGINAL_URL)?.as_bytes()).ok_or_else(|| {
                let text = "X-Original-URL must be an absolute URL, such as \
                    https://app.example.org/posts/1.";
                ApiError::Malformed(text.to_owned())
            })?;
            Original {
                method: text(&ORIGINAL_METHOD)?,
                host: host.to_owned(),
                uri: uri.to_owned(),
            }
        }
        Envoy => Original {
            method: request.method().to_string(),
            host: own_host()?,
            uri: appended(request).ok_or_else(|| {
                let text = "With forward_auth_headers = \"envoy\", the path of the question must be \
                    /api/verify followed by the original path.";
                ApiError::Malformed(text.to_owned())
            })?,
        },
    };
    Ok(Some(original))
}

/// Refuses a question that names a request and doesn't come from a trusted proxy. It isn't enough to
/// ignore the name: the abilities in the query alone would decide then.
fn trust(request: &ServiceRequest) -> Result<(), ApiError> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let trusted = request.app_data::<TrustedProxies>();
    if trusted.zip(peer).is_some_and(|(trusted, peer)| trusted.contain(peer)) {
        return Ok(());
    }
    let peer = peer.map_or("the peer".to_owned(), |peer| peer.to_canonical().to_string());
    let text = format!("{peer} names a request, and is not among trusted_proxies.");
    Err(ApiError::Malformed(text))
}

/// The value of a header that is sent exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name);
    values.next().filter(|_| values.next().is_none())
}

/// The host that the question was sent to: its `Host`, or HTTP/2's `:authority`.
fn own_host(request: &ServiceRequest) -> Option<&str> {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let header = match request.headers().contains_key(HOST) {
        true => Some(only(request.headers(), &HOST)?.to_str().ok()?),
        false => None,
    };
    match (authority, header) {
        (Some(authority), Some(header)) => (authority == header).then_some(header),
        (authority, header) => authority.or(header),
    }
}

/// The path and query behind `/api/verify`, as the client spelled them. The first occurrence counts:
/// the proxy wrote that one, and what follows it is the client's.
fn appended(request: &ServiceRequest) -> Option<Vec<u8>> {
    let target = request.uri().path_and_query().map(PathAndQuery::as_str)?;
    let (_, uri) = target.split_once(VERIFY)?;
    uri.starts_with('/').then(|| uri.as_bytes().to_owned())
}
