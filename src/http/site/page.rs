//! A file of the pages, with its headers.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};

/// A file and its headers.
pub(super) struct Page {
    media_type: &'static str,
    /// Its `Content-Security-Policy`.
    policy: &'static str,
    /// The entity tag, quotes included.
    tag: String,
    body: Bytes,
}

impl Page {
    pub(super) fn new(media_type: &'static str, policy: &'static str, body: Bytes) -> Self {
        Self { media_type, policy, tag: tag(&body), body }
    }

    pub(super) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let tag = request.headers().get(IF_NONE_MATCH);
        let is_known = tag.is_some_and(|tag| tag.as_bytes() == self.tag.as_bytes());
        let mut response = match is_known {
            true => HttpResponse::NotModified(),
            false => HttpResponse::Ok(),
        };
        response
            .insert_header((CONTENT_TYPE, HeaderValue::from_static(self.media_type)))
            .insert_header((CONTENT_SECURITY_POLICY, HeaderValue::from_static(self.policy)))
            .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
            .insert_header((REFERRER_POLICY, HeaderValue::from_static("no-referrer")))
            // Browsers ask each time, so that a new release is shown at once. An unchanged file is not sent.
            .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-cache")))
            .insert_header((ETAG, self.tag.as_str()));
        match is_known {
            true => response.finish(),
            false => response.body(self.body.clone()),
        }
    }
}

pub(super) fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

fn tag(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}
