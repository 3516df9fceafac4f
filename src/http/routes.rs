//! The route table: every route, and what a request to it needs. Nothing is routed but by a row of
//! it, and a row without needs does not compile.

use actix_web::http::Method;
use actix_web::http::header::HeaderValue;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, Route, guard};

use super::error::ApiError;
use super::guard::Guard;
use super::guard::Needs::{self, Ability, LiveToken, Nothing};
use super::{health, pages, tokens, users};
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
    on(Method::GET, "/api/tokens/current", LiveToken, || web::to(tokens::show_current)),
    on(Method::DELETE, "/api/tokens/current", LiveToken, || web::to(tokens::revoke_current)),
    on(Method::POST, "/api/tokens", Nothing, || web::to(tokens::create)),
    on(Method::GET, "/api/tokens", Ability("tokens:read"), || web::to(tokens::list)),
    on(Method::DELETE, "/api/tokens", Ability("tokens:write"), || web::to(tokens::revoke_all)),
    on(Method::DELETE, "/api/tokens/{id}", Ability("tokens:write"), || web::to(tokens::revoke)),
    on(Method::GET, "/healthz", Nothing, || web::to(health::alive)),
    on(Method::GET, "/readyz", Nothing, || web::to(health::ready)),
];

/// Adds every route, its guard before it, and the answers to what is no route.
pub fn configure(config: &mut ServiceConfig, auth: &Auth, demo: Option<&pages::Demo>) {
    config.app_data(web::Data::new(auth.clone()));
    let mut rest = ENDPOINTS;
    while let Some(first) = rest.first() {
        let methods = rest.iter().take_while(|endpoint| endpoint.path == first.path).count();
        let (endpoints, others) = rest.split_at(methods);
        rest = others;
        let mut resource = web::resource(first.path);
        for endpoint in endpoints {
            let guarded = Guard::new(auth.clone(), endpoint.needs);
            let route = (endpoint.route)().guard(accepts(&endpoint.method)).wrap(guarded);
            resource = resource.route(route);
        }
        let allow = allow(endpoints);
        config.service(resource.default_service(web::to(move |request: HttpRequest| {
            let error = ApiError::MethodNotAllowed {
                method: request.method().to_string(),
                path: request.path().to_owned(),
                allow: allow.clone(),
            };
            async move { Err::<&str, _>(error) }
        })));
    }
    pages::configure(config, demo);
    config.default_service(web::to(|request: HttpRequest| async move {
        Err::<&str, _>(ApiError::NoRoute(request.path().to_owned()))
    }));
}

/// Whoever may GET may ask for the head alone.
fn accepts(method: &Method) -> impl guard::Guard + use<> {
    let method = method.clone();
    guard::fn_guard(move |context| {
        let asked = &context.head().method;
        *asked == method || (method == Method::GET && *asked == Method::HEAD)
    })
}

fn allow(endpoints: &[Endpoint]) -> HeaderValue {
    let names = endpoints.iter().map(|endpoint| match endpoint.method {
        Method::GET => "GET, HEAD",
        ref other => other.as_str(),
    });
    let list = names.collect::<Vec<_>>().join(", ");
    HeaderValue::from_str(&list).unwrap_or(HeaderValue::from_static("GET"))
}

#[cfg(test)]
mod tests {
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
}
