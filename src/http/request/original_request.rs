//! The original request, which a reverse proxy asks `/api/verify` about. It is read only from the headers
//! that the setting `forward_auth_headers` names: the client may have forged other headers that the proxy
//! passes on.

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, HeaderName};
use actix_web::http::uri::PathAndQuery;

use super::single;
use crate::config::TrustedProxies;
use crate::domain::{ForwardAuthHeaders, Original, split_url};
use crate::http::response::error::ApiError;

/// The path at which a reverse proxy asks whether a request may pass.
pub(crate) const VERIFY: &str = "/api/verify";

static DESTINATION: HeaderName = HeaderName::from_static("destination");
static FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
static ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
static ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
static ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");

/// Reads the original request of a question to `/api/verify`. `None` if the question names no request.
///
/// # Errors
/// 400 if the peer is not a trusted proxy, or if a part of the request is missing, repeated or malformed.
pub(crate) fn original(
    request: &HttpRequest,
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
    let once =
        |name: &'static HeaderName| single(headers, name).ok_or_else(|| unread(name.as_str()));
    let text = |name: &'static HeaderName| {
        let value = once(name)?.to_str().map_err(|_| unread(name.as_str()))?;
        Ok::<_, ApiError>(value.to_owned())
    };
    let own_host = || own_host(request).map(str::to_owned).ok_or_else(|| unread("The host"));
    let bytes = |name| Ok::<_, ApiError>(once(name)?.as_bytes().to_owned());
    let (method, host, uri) = match naming {
        XForwarded => (text(&FORWARDED_METHOD)?, text(&FORWARDED_HOST)?, bytes(&FORWARDED_URI)?),
        XOriginalUri => (text(&ORIGINAL_METHOD)?, own_host()?, bytes(&ORIGINAL_URI)?),
        XOriginalUrl => {
            let (host, uri) = split_url(once(&ORIGINAL_URL)?.as_bytes()).ok_or_else(|| {
                let text = "X-Original-URL must be an absolute URL, such as \
                    https://app.example.org/posts/1.";
                ApiError::Malformed(text.to_owned())
            })?;
            (text(&ORIGINAL_METHOD)?, host.to_owned(), uri.to_owned())
        }
        Envoy => (request.method().to_string(), own_host()?, appended(request)?),
    };
    // The client wrote this header. It can be believed, because it can only add requirements.
    let destination = match (has(&DESTINATION), single(headers, &DESTINATION)) {
        (true, None) => {
            return Err(ApiError::Malformed("Destination must be sent once.".to_owned()));
        }
        (_, value) => value.map(|value| value.as_bytes().to_owned()),
    };
    Ok(Some(Original { method, host, uri, destination }))
}

/// Refuses a question that names a request, unless it is from a trusted proxy. To ignore the named request is
/// not enough: then only the abilities in the query would decide.
fn trust(request: &HttpRequest) -> Result<(), ApiError> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let trusted = request.app_data::<TrustedProxies>();
    if trusted.zip(peer).is_some_and(|(trusted, peer)| trusted.contain(peer)) {
        return Ok(());
    }
    let peer = peer.map_or("the peer".to_owned(), |peer| peer.to_canonical().to_string());
    let text = format!("{peer} names a request, but is not among trusted_proxies.");
    Err(ApiError::Malformed(text))
}

/// The host that the question was sent to: `Host`, or `:authority` with HTTP/2.
fn own_host(request: &HttpRequest) -> Option<&str> {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let header = match request.headers().contains_key(HOST) {
        true => Some(single(request.headers(), &HOST)?.to_str().ok()?),
        false => None,
    };
    match (authority, header) {
        (Some(authority), Some(header)) => (authority == header).then_some(header),
        (authority, header) => authority.or(header),
    }
}

/// The path and query after the first `/api/verify`, as the client spelled them. The proxy wrote that first
/// one; a further one is part of the client's path.
fn appended(request: &HttpRequest) -> Result<Vec<u8>, ApiError> {
    let target = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
    match target.split_once(VERIFY) {
        Some((_, uri)) if uri.starts_with('/') => Ok(uri.as_bytes().to_owned()),
        _ => {
            let text = "With forward_auth_headers = \"envoy\", the path of the question must be \
                /api/verify followed by the original path.";
            Err(ApiError::Malformed(text.to_owned()))
        }
    }
}
