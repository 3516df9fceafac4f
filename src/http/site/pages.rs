//! The pages: the files of `static/`, which are part of the binary.

use std::ops::Deref;
use std::rc::Rc;

use actix_web::http::Method;
use actix_web::web::{self, Bytes, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use rust_embed::Embed;

use super::page::{Page, media_type};
use super::swagger_ui;
use crate::auth::Auth;
use crate::http::response::timing::counted;
use crate::http::routes::{accepts, not_allowed, not_found};
use crate::metrics::Metrics;

#[derive(Embed)]
#[folder = "static/"]
struct Files;

/// The user of the demo, whose email and password the page shows.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The user's email.
    pub email: String,
    /// The user's password. It is not secret.
    pub password: String,
}

/// Scripts, styles, images and requests only from and to this server. No form is sent without a script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The place in `index.html` for the demo's user.
const DEMO: &str = "<!--demo-->";

/// Adds a route for each file: `/` for `index.html`, `/docs` for `docs.html`, and `/NAME` for the others.
pub fn serve_pages(config: &mut ServiceConfig, demo: Option<&Demo>, auth: &Auth) {
    let metrics = auth.metrics();
    for name in Files::iter() {
        let Some(file) = Files::get(&name) else {
            continue;
        };
        let (path, body) = match name.as_ref() {
            "index.html" => ("/".to_owned(), introduce(&file.data, demo)),
            "docs.html" => ("/docs".to_owned(), Bytes::copy_from_slice(&file.data)),
            name => (format!("/{name}"), Bytes::copy_from_slice(&file.data)),
        };
        let policy = if path == "/docs" { swagger_ui::POLICY } else { POLICY };
        let page = Rc::new(Page::new(media_type(&name), policy, body));
        serve(config, metrics, &path, move || Some(page.clone()));
    }
    for name in swagger_ui::FILES {
        serve(config, metrics, &format!("/docs/{name}"), move || swagger_ui::page(name));
    }
    config.default_service(not_found(metrics));
}

/// Adds a route that answers GET with a page.
fn serve<P: Deref<Target = Page>>(
    config: &mut ServiceConfig,
    metrics: &Metrics,
    path: &str,
    page: impl Fn() -> Option<P> + Clone + 'static,
) {
    let route = web::route().guard(accepts(&Method::GET)).to(move |request: HttpRequest| {
        let answer = match page() {
            Some(page) => page.answer(&request),
            None => HttpResponse::NotFound().finish(),
        };
        async move { answer }
    });
    let route = counted(route, metrics, "pages");
    let other = counted(not_allowed([Method::GET].iter()), metrics, "pages");
    let name = format!("bearerd:{path}");
    config.service(web::resource(path).name(&name).route(route).default_service(other));
}

/// The page, with the demo's user in its place.
fn introduce(html: &[u8], demo: Option<&Demo>) -> Bytes {
    let metas = demo.map(|Demo { email, password }| {
        let meta = |name: &str, value: &str| {
            let value = value.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
            format!(r#"<meta name="bearerd-demo-{name}" content="{value}">"#)
        };
        meta("email", email) + &meta("password", password)
    });
    let html = String::from_utf8_lossy(html);
    html.replace(DEMO, &metas.unwrap_or_default()).into()
}
