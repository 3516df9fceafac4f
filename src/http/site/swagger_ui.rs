//! Swagger UI, which shows the description of the API at `/docs`. It is part of the binary. Its page and
//! script are `static/docs.html` and `static/docs.js`.

use std::sync::{Arc, LazyLock};

use actix_web::web::Bytes;
use utoipa_swagger_ui::Config;

use super::page::{Page, media_type};

/// The files of Swagger UI that the page loads.
pub(super) const FILES: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

/// The policy of the other pages, with `data:` URLs for icons.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// A file of Swagger UI. It is unpacked for the first request, so that most servers do not keep it in memory.
pub(super) fn page(name: &str) -> Option<&'static Page> {
    static PAGES: LazyLock<Vec<(&str, Page)>> = LazyLock::new(|| {
        let config = Arc::new(Config::from("/api/openapi.json"));
        let read = |name| {
            let file = utoipa_swagger_ui::serve(name, config.clone()).ok()??;
            let body = match file.bytes {
                std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                std::borrow::Cow::Owned(bytes) => bytes.into(),
            };
            Some((name, Page::new(media_type(name), POLICY, body)))
        };
        FILES.into_iter().filter_map(read).collect()
    });
    PAGES.iter().find(|(known, _)| *known == name).map(|(_, page)| page)
}
