//! The route table: every route of the service, and what a request to it needs. A row without needs
//! does not compile. The demo page's files are the only routes besides; `pages` adds them.

use actix_web::http::Method;
use actix_web::http::header::HeaderValue;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, Route, guard};

use super::address::TrustedProxies;
use super::error::ApiError;
use super::guard::Guard;
use super::guard::Needs::{self, Ability, Admin, LiveToken, Nothing};
use super::timing::counted;
use super::{admin, health, pages, tokens, users};
use crate::auth::Auth;

struct Endpoint {
    method: Method,
    path: &'static str,
    needs: Needs,
    route: fn() -> Route,
}

const fn on(method: Method, path: &'static str, needs: Needs, route: fn() -> Route) -> Endpoint {
    Endpoint { method, path, needs, route }
}

/// The first path that matches is taken; those asked for most stand first.
static ENDPOINTS: &[Endpoint] = &[
    on(Method::GET, "/api/user", LiveToken, || web::to(users::show)),
    on(Method::PUT, "/api/user", users::ACCOUNT, || web::to(users::update)),
    on(Method::GET, "/api/tokens/current", LiveToken, || web::to(tokens::show_current)),
    on(Method::DELETE, "/api/tokens/current", LiveToken, || web::to(tokens::revoke_current)),
    on(Method::POST, "/api/tokens", Nothing, || web::to(tokens::create)),
    on(Method::GET, "/api/tokens", Ability("tokens:read"), || web::to(tokens::list)),
    on(Method::DELETE, "/api/tokens", Ability("tokens:write"), || web::to(tokens::revoke_all)),
    on(Method::DELETE, "/api/tokens/{id}", Ability("tokens:write"), || web::to(tokens::revoke)),
    on(Method::PATCH, "/api/tokens/{id}", Ability("tokens:write"), || web::to(tokens::rename)),
    on(Method::PUT, "/api/user/password", users::ACCOUNT, || web::to(users::change_password)),
    on(Method::GET, "/api/users", Admin, || web::to(admin::list)),
    on(Method::POST, "/api/users", Admin, || web::to(admin::create)),
    on(Method::GET, "/api/users/{id}", Admin, || web::to(admin::show)),
    on(Method::PATCH, "/api/users/{id}", Admin, || web::to(admin::update)),
    on(Method::DELETE, "/api/users/{id}", Admin, || web::to(admin::delete)),
    on(Method::GET, "/api/users/{id}/tokens", Admin, || web::to(admin::list_tokens)),
    on(Method::DELETE, "/api/users/{id}/tokens", Admin, || web::to(admin::revoke_tokens)),
    on(Method::DELETE, "/api/users/{id}/tokens/{token}", Admin, || web::to(admin::revoke_token)),
    on(Method::GET, "/healthz", Nothing, || web::to(health::alive)),
    on(Method::GET, "/metrics", Nothing, || web::to(health::metrics)),
    on(Method::GET, "/readyz", Nothing, || web::to(health::ready)),
];

/// Adds every route, its guard before it, and the answers to what is no route.
pub fn configure(
    config: &mut ServiceConfig,
    auth: &Auth,
    proxies: &TrustedProxies,
    demo: Option<&pages::Demo>,
) {
    config.app_data(web::Data::new(auth.clone()));
    config.app_data(proxies.clone());
    config.app_data(web::QueryConfig::default().error_handler(|error, _| {
        ApiError::Malformed(format!("The query can't be read: {error}.")).into()
    }));
    let mut rest = ENDPOINTS;
    while let Some(first) = rest.first() {
        let methods = rest.iter().take_while(|endpoint| endpoint.path == first.path).count();
        let (endpoints, others) = rest.split_at(methods);
        rest = others;
        let mut resource = web::resource(first.path);
        for endpoint in endpoints {
            let guarded =
                Guard::on_route(auth.clone(), endpoint.needs, &endpoint.method, first.path);
            let route = (endpoint.route)().guard(accepts(&endpoint.method)).wrap(guarded);
            resource = resource.route(route);
        }
        let methods = endpoints.iter().map(|endpoint| &endpoint.method);
        let other = counted(not_allowed(methods), auth.metrics(), first.path);
        config.service(resource.default_service(other));
    }
    pages::configure(config, demo, auth.metrics());
    let no_route = web::to(|request: HttpRequest| async move {
        Err::<&str, _>(ApiError::NoRoute(request.path().to_owned()))
    });
    config.default_service(counted(no_route, auth.metrics(), "unmatched"));
}

/// Whoever may GET may ask for the head alone.
pub(super) fn accepts(method: &Method) -> impl guard::Guard + use<> {
    let method = method.clone();
    guard::fn_guard(move |context| {
        let asked = &context.head().method;
        *asked == method || (method == Method::GET && *asked == Method::HEAD)
    })
}

/// The answer to another method than these.
pub(super) fn not_allowed<'a>(methods: impl Iterator<Item = &'a Method>) -> Route {
    let names = methods.map(|method| match *method {
        Method::GET => "GET, HEAD",
        ref other => other.as_str(),
    });
    let list = names.collect::<Vec<_>>().join(", ");
    // Methods are tokens, and a list of them is a header's value.
    let allow = HeaderValue::from_str(&list).unwrap_or(HeaderValue::from_static("GET"));
    web::to(move |request: HttpRequest| {
        let error = ApiError::MethodNotAllowed {
            method: request.method().to_string(),
            path: request.path().to_owned(),
            allow: allow.clone(),
        };
        async move { Err::<&str, _>(error) }
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::test::{TestRequest, init_service, try_call_service};

    use super::*;

    #[test]
    fn the_rows_of_a_path_stand_together() {
        let mut paths: Vec<_> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
        paths.dedup();
        let groups = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), groups, "a path that stands twice answers 405 to half its methods");
    }

    #[test]
    fn only_a_login_needs_nothing() {
        let open = ENDPOINTS.iter().filter(|endpoint| endpoint.needs == Nothing);
        let open: Vec<_> = open.map(|endpoint| (endpoint.method.as_str(), endpoint.path)).collect();
        assert_eq!(
            open,
            [("POST", "/api/tokens"), ("GET", "/healthz"), ("GET", "/metrics"), ("GET", "/readyz")]
        );
    }

    #[test]
    fn every_other_row_refuses_a_request_without_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("test.sqlite");
        let config = crate::config::Config { database, ..Default::default() };
        crate::app::block_on(async {
            let services = crate::app::Services::open(&config, crate::app::system_clock()).unwrap();
            let proxies = TrustedProxies::default();
            let app = actix_web::App::new()
                .configure(|config| configure(config, &services.auth, &proxies, None));
            let server = init_service(app).await;
            for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.needs != Nothing) {
                let path = endpoint.path.replace("{id}", "1").replace("{token}", "1");
                let request =
                    TestRequest::default().method(endpoint.method.clone()).uri(&path).to_request();
                let error = try_call_service(&server, request).await.unwrap_err();
                let status = error.as_response_error().status_code();
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{} {path}", endpoint.method);
            }
            services.close().await;
        });
    }
}
