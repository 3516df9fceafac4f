//! The route table: every route of the service, and what its guard requires of a request. A row without a
//! requirement, or without a description, does not compile. Besides these there are only the pages, the
//! demo's and the viewer's, which `site` adds.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::HeaderValue;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, Resource, Route, guard};

use super::api::oauth::IssuerUrl;
use super::api::{explain, health, oauth, tokens, user, users, verify};
use super::endpoint::{Endpoint, any, on};
use super::guard::Guard;
use super::openapi::{self as docs, Description};
use super::request::credentials::TokenSources;
use super::request::original_request::VERIFY;
use super::response::error::ApiError;
use super::response::timing::counted;
use crate::auth::Auth;
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

/// What is offered in the place of a method that no proxy passes on.
static COMMON: [Method; 7] = [GET, POST, PUT, PATCH, DELETE, Method::OPTIONS, Method::TRACE];

/// The first path that matches is taken; those asked for most stand first.
#[rustfmt::skip] // A row a line.
static ENDPOINTS: &[Endpoint] = &[
    any(VERIFY, Nothing, docs::delegation::VERIFY, || web::to(verify::verify)),
    on(GET, "/api/user", LiveToken, docs::user::SHOW, || web::to(user::show)),
    on(PUT, "/api/user", user::ACCOUNT, docs::user::UPDATE, || web::to(user::update)),
    on(GET, "/api/tokens/current", LiveToken, docs::tokens::SHOW_CURRENT, || web::to(tokens::show_current)),
    on(DELETE, "/api/tokens/current", LiveToken, docs::tokens::REVOKE_CURRENT, || web::to(tokens::revoke_current)),
    on(POST, "/api/tokens", Nothing, docs::tokens::CREATE, || web::to(tokens::create)),
    on(GET, "/api/tokens", Ability("tokens:read"), docs::tokens::LIST, || web::to(tokens::list)),
    on(DELETE, "/api/tokens", Ability("tokens:write"), docs::tokens::REVOKE_ALL, || web::to(tokens::revoke_all)),
    on(DELETE, "/api/tokens/{id}", Ability("tokens:write"), docs::tokens::REVOKE, || web::to(tokens::revoke)),
    on(PATCH, "/api/tokens/{id}", Ability("tokens:write"), docs::tokens::RENAME, || web::to(tokens::rename)),
    on(PUT, "/api/user/password", user::ACCOUNT, docs::user::CHANGE_PASSWORD, || web::to(user::change_password)),
    on(GET, "/api/users", Admin, docs::users::LIST, || web::to(users::list)),
    on(POST, "/api/users", Admin, docs::users::CREATE, || web::to(users::create)),
    on(GET, "/api/users/{id}", Admin, docs::users::SHOW, || web::to(users::show)),
    on(PATCH, "/api/users/{id}", Admin, docs::users::UPDATE, || web::to(users::update)),
    on(DELETE, "/api/users/{id}", Admin, docs::users::DELETE, || web::to(users::delete)),
    on(GET, "/api/users/{id}/tokens", Admin, docs::users::LIST_TOKENS, || web::to(users::list_tokens)),
    on(DELETE, "/api/users/{id}/tokens", Admin, docs::users::REVOKE_TOKENS, || web::to(users::revoke_tokens)),
    on(DELETE, "/api/users/{id}/tokens/{token}", Admin, docs::users::REVOKE_TOKEN, || web::to(users::revoke_token)),
    on(POST, "/api/introspect", Service(Some("introspect")), docs::delegation::INTROSPECT, || web::to(oauth::introspect)),
    on(POST, "/api/revoke", Service(None), docs::delegation::REVOKE, || web::to(oauth::revoke)),
    on(POST, "/api/explain", Admin, docs::delegation::EXPLAIN, || web::to(explain::explain)),
    on(GET, "/.well-known/oauth-authorization-server", Nothing, docs::delegation::METADATA, || web::to(oauth::metadata)),
    on(GET, "/healthz", Nothing, docs::service::ALIVE, || web::to(health::alive)),
    on(GET, "/metrics", Nothing, docs::service::METRICS, || web::to(health::metrics)),
    on(GET, "/readyz", Nothing, docs::service::READY, || web::to(health::ready)),
    on(GET, "/api/openapi.json", Nothing, docs::service::DESCRIPTION, || web::to(docs::show)),
];

/// The description of the routes, as they are reached under this URL.
pub fn describe(issuer: Option<Issuer>) -> Description {
    Description::new(issuer, ENDPOINTS)
}

/// What the routes are made of.
#[derive(Clone)]
pub struct ApiState {
    /// The service behind them.
    pub auth: Auth,
    /// Who is believed when they say whose request they pass on.
    pub proxies: TrustedProxies,
    /// Where a token may stand, beside `Authorization: Bearer`.
    pub sources: TokenSources,
    /// The server's URL as others reach it.
    pub issuer: IssuerUrl,
    /// What they say of themselves.
    pub description: Arc<Description>,
}

impl ApiState {
    /// Adds every route, and its guard before it.
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
        // Envoy appends the original path, and sends the original method.
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
        // On the resource, so that two of them in one application each keep to their own.
        let mut resource = web::resource(patterns)
            .app_data(web::Data::new(self.auth.clone()))
            .app_data(web::Data::new(self.issuer.clone()))
            .app_data(web::Data::from(self.description.clone()))
            .app_data(web::Data::new(sources))
            .app_data(self.proxies.clone())
            .app_data(web::QueryConfig::default().error_handler(|error, _| {
                ApiError::Malformed(format!("The query can't be read: {error}.")).into()
            }));
        for endpoint in endpoints {
            let route = (endpoint.route)();
            let route = match &endpoint.method {
                Some(method) => route.guard(accepts(method)),
                None if is_envoys => route,
                // Its content is what it is about (RFC 9110 has no such method), and a question has none.
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

    /// A guard before a route of an application's own.
    pub fn guard(&self, requirement: Requirement) -> Guard {
        self.guard_counted(requirement, ("any", "application"))
    }

    /// A guard whose requests are counted under this method and path.
    fn guard_counted(
        &self,
        requirement: Requirement,
        label: (&'static str, &'static str),
    ) -> Guard {
        let basic = matches!(requirement, Service(_));
        let sources = self.sources.with_basic(basic);
        Guard::new(self.auth.clone(), requirement, sources, label)
    }
}

/// Whoever may GET may ask for the head alone.
pub(super) fn accepts(method: &Method) -> impl guard::Guard + use<> {
    let method = method.clone();
    guard::fn_guard(move |context| {
        let asked = &context.head().method;
        *asked == method || (method == Method::GET && *asked == Method::HEAD)
    })
}

/// The answer where there is no route.
#[cfg(feature = "server")]
pub(super) fn not_found(metrics: &Metrics) -> Route {
    let answer = web::to(|request: HttpRequest| async move {
        Err::<&str, _>(ApiError::NoRoute(request.path().to_owned()))
    });
    counted(answer, metrics, "unmatched")
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
