//! The route table: every route of the service, with the requirement of its guard. A row without a
//! requirement or a description does not compile. The only other routes are the pages, which `site` adds.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::HeaderValue;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, Resource, Route, guard};

use super::api::oauth::IssuerUrl;
use super::api::{explain, health, oauth, tokens, user, users, verify};
use super::endpoint::Endpoint;
use super::guard::Guard;
use super::openapi::{self, Description, Operation};
use super::request::credentials::TokenSources;
use super::request::original_request::VERIFY;
use super::response::error::ApiError;
use super::response::timing::counted;
use crate::auth::{Auth, Error};
use crate::config::{Issuer, TrustedProxies};
use crate::domain::ForwardAuthHeaders;
use crate::domain::Requirement::{self, Ability, Admin, LiveToken, Nothing, Service};
#[cfg(feature = "server")]
use crate::metrics::Metrics;

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// The methods in the header `Allow` of a route for every method.
static COMMON: [Method; 7] = [GET, POST, PUT, PATCH, DELETE, Method::OPTIONS, Method::TRACE];

const fn on(
    method: Method,
    path: &'static str,
    requirement: Requirement,
    docs: Operation,
    route: fn() -> Route,
) -> Endpoint {
    Endpoint { method: Some(method), path, requirement, docs, route }
}

/// Paths are tried in this order, so the paths with most requests are first. Rows of one path must be adjacent.
#[rustfmt::skip] // A row a line.
static ENDPOINTS: &[Endpoint] = &[
    Endpoint { method: None, path: VERIFY, requirement: Nothing, docs: verify::VERIFY, route: || web::to(verify::verify) },
    on(GET, "/api/user", LiveToken, user::SHOW, || web::to(user::show)),
    on(PUT, "/api/user", user::ACCOUNT, user::UPDATE, || web::to(user::update)),
    on(GET, "/api/tokens/current", LiveToken, tokens::SHOW_CURRENT, || web::to(tokens::show_current)),
    on(DELETE, "/api/tokens/current", LiveToken, tokens::REVOKE_CURRENT, || web::to(tokens::revoke_current)),
    on(POST, "/api/tokens", Nothing, tokens::CREATE, || web::to(tokens::create)),
    on(GET, "/api/tokens", Ability("tokens:read"), tokens::LIST, || web::to(tokens::list)),
    on(DELETE, "/api/tokens", Ability("tokens:write"), tokens::REVOKE_ALL, || web::to(tokens::revoke_all)),
    on(DELETE, "/api/tokens/{id}", Ability("tokens:write"), tokens::REVOKE, || web::to(tokens::revoke)),
    on(PATCH, "/api/tokens/{id}", Ability("tokens:write"), tokens::RENAME, || web::to(tokens::rename)),
    on(PUT, "/api/user/password", user::ACCOUNT, user::CHANGE_PASSWORD, || web::to(user::change_password)),
    on(GET, "/api/users", Admin, users::LIST, || web::to(users::list)),
    on(POST, "/api/users", Admin, users::CREATE, || web::to(users::create)),
    on(GET, "/api/users/{id}", Admin, users::SHOW, || web::to(users::show)),
    on(PATCH, "/api/users/{id}", Admin, users::UPDATE, || web::to(users::update)),
    on(DELETE, "/api/users/{id}", Admin, users::DELETE, || web::to(users::delete)),
    on(GET, "/api/users/{id}/tokens", Admin, users::LIST_TOKENS, || web::to(users::list_tokens)),
    on(DELETE, "/api/users/{id}/tokens", Admin, users::REVOKE_TOKENS, || web::to(users::revoke_tokens)),
    on(DELETE, "/api/users/{id}/tokens/{token}", Admin, users::REVOKE_TOKEN, || web::to(users::revoke_token)),
    on(POST, "/api/introspect", Service(Some("introspect")), oauth::INTROSPECT, || web::to(oauth::introspect)),
    on(POST, "/api/revoke", Service(None), oauth::REVOKE, || web::to(oauth::revoke)),
    on(POST, "/api/explain", Admin, explain::EXPLAIN, || web::to(explain::explain)),
    on(GET, "/.well-known/oauth-authorization-server", Nothing, oauth::METADATA, || web::to(oauth::metadata)),
    on(GET, "/healthz", Nothing, health::ALIVE, || web::to(health::alive)),
    on(GET, "/metrics", Nothing, health::METRICS, || web::to(health::metrics)),
    on(GET, "/readyz", Nothing, health::READY, || web::to(health::ready)),
    on(GET, "/api/openapi.json", Nothing, openapi::DESCRIPTION, || web::to(openapi::show)),
];

/// The description of the routes, which clients reach under the URL `issuer`.
pub fn describe(issuer: Option<Issuer>) -> Description {
    Description::new(issuer, ENDPOINTS)
}

/// The data that the routes use.
#[derive(Clone)]
pub struct ApiState {
    /// The application service.
    pub auth: Auth,
    /// The proxies whose headers about the original request are believed.
    pub proxies: TrustedProxies,
    /// The places of a token besides `Authorization: Bearer`.
    pub sources: TokenSources,
    /// The server's URL as clients reach it.
    pub issuer: IssuerUrl,
    /// The description of the API.
    pub description: Arc<Description>,
}

impl ApiState {
    /// Adds every route, with its guard.
    pub fn configure(&self, config: &mut ServiceConfig) {
        let mut rest = ENDPOINTS;
        while let Some(first) = rest.first() {
            let methods = rest.iter().take_while(|endpoint| endpoint.path == first.path).count();
            let (endpoints, others) = rest.split_at(methods);
            config.service(self.resource(first.path, endpoints));
            rest = others;
        }
    }

    /// The routes of one path.
    fn resource(&self, path: &'static str, endpoints: &'static [Endpoint]) -> Resource {
        let is_verify = path == VERIFY;
        let resource_kind = endpoints.first().and_then(Endpoint::resource).unwrap_or("row");
        let no_such_row =
            move |_, _: &HttpRequest| ApiError::Auth(Error::NotFound(resource_kind)).into();
        // Envoy appends the original path to the path of its question, and uses the original method.
        let is_envoys =
            is_verify && self.auth.forward_auth_headers() == Some(ForwardAuthHeaders::Envoy);
        let sources = match is_verify {
            true => self.sources.clone(),
            false => self.sources.with_basic(false),
        };
        let mut patterns = vec![path.to_owned()];
        if is_envoys {
            patterns.push(format!("{path}/{{original:.*}}"));
        }
        // Data of the resource, not of the application: an application may mount several services.
        let mut resource = web::resource(patterns)
            .app_data(web::Data::new(self.auth.clone()))
            .app_data(web::Data::new(self.issuer.clone()))
            .app_data(web::Data::from(self.description.clone()))
            .app_data(web::Data::new(sources))
            .app_data(self.proxies.clone())
            .app_data(web::PathConfig::default().error_handler(no_such_row));
        for endpoint in endpoints {
            let route = (endpoint.route)();
            let route = match &endpoint.method {
                Some(method) => route.guard(accepts(method)),
                None if is_envoys => route,
                // What a QUERY may do depends on its body, and a proxy's question has no body.
                None => route.guard(guard::fn_guard(|context| context.head().method != *"QUERY")),
            };
            let label = (endpoint.label(), endpoint.path);
            resource =
                resource.route(route.wrap(self.guard_counted(endpoint.requirement.clone(), label)));
        }
        let methods = endpoints.iter().flat_map(|endpoint| match &endpoint.method {
            Some(method) => std::slice::from_ref(method),
            None => &COMMON,
        });
        resource.default_service(counted(not_allowed(methods), self.auth.metrics(), path))
    }

    /// A guard for a route of the application.
    pub fn guard(&self, requirement: Requirement) -> Guard {
        self.guard_counted(requirement, ("any", "application"))
    }

    /// A guard whose requests are counted under this method and path.
    fn guard_counted(
        &self,
        requirement: Requirement,
        route: (&'static str, &'static str),
    ) -> Guard {
        let basic = matches!(requirement, Service(_));
        let sources = self.sources.with_basic(basic);
        Guard { auth: self.auth.clone(), requirement, sources, route }
    }
}

/// A route's guard for one method. A route for GET accepts HEAD too.
pub(super) fn accepts(method: &Method) -> impl guard::Guard + use<> {
    let method = method.clone();
    guard::fn_guard(move |context| {
        let sent = &context.head().method;
        *sent == method || (method == Method::GET && *sent == Method::HEAD)
    })
}

/// The answer to a path without a route.
#[cfg(feature = "server")]
pub(super) fn not_found(metrics: &Metrics) -> Route {
    let answer = web::to(|request: HttpRequest| async move {
        Err::<&str, _>(ApiError::NoRoute(request.path().to_owned()))
    });
    counted(answer, metrics, "unmatched")
}

/// The answer to every method except `methods`.
pub(super) fn not_allowed<'a>(methods: impl Iterator<Item = &'a Method>) -> Route {
    let names = methods.map(|method| match *method {
        Method::GET => "GET, HEAD",
        ref other => other.as_str(),
    });
    let list = names.collect::<Vec<_>>().join(", ");
    // This can't fail: methods are ASCII.
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
    use super::*;

    #[test]
    fn rows_of_one_path_are_adjacent() {
        let mut paths: Vec<_> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
        paths.dedup();
        let groups = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), groups, "a path in two places answers 405 to half its methods");
    }
}
