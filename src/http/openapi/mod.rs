//! `GET /api/openapi.json`: the API's description, as OpenAPI 3.1. Its paths, methods and requirements
//! are those of the route table, its answers' schemas those of the structs that are written, its errors
//! those that are answered.

mod answers;
pub(super) mod delegation;
mod operation;
pub(super) mod service;
pub(super) mod tokens;
pub(super) mod user;
pub(super) mod users;

use std::sync::OnceLock;

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use actix_web::web::{Bytes, Data};
use serde_json::json;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ComponentsBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ContentBuilder, HttpMethod, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths,
    Required, ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::endpoint::Endpoint;
use super::fields;
use super::response::error;
use crate::config::Issuer;
use crate::domain::Requirement;
pub(super) use operation::Operation;
use operation::{Query, Schemas};

const ABOUT: &str = "Bearer-token authentication. Log in with `POST /api/tokens`, and send what it \
    answers as `Authorization: Bearer …`. Errors have a `message` for people, a `code` for \
    programs, and with 422 `errors`, field by field.";
/// The headings, in the order in which they are read, and what stands under each.
const TAGS: [(&str, &str); 5] = [
    (tokens::TAG, "Log in, log out, and look after your own tokens"),
    (user::TAG, "Your own name, email and password"),
    (users::TAG, "Other people's accounts and tokens, for administrators"),
    (delegation::TAG, "For those who leave the checking of tokens to this server"),
    (service::TAG, "How the server is, and what it offers"),
];
const BEARER: &str = "bearer";
const BASIC: &str = "basic";

/// The API's description. Written when first asked for, once for all threads: most servers are never
/// asked.
pub struct Description {
    endpoints: &'static [Endpoint],
    /// Under which URL the paths are; where there is none, under that which the description has.
    issuer: Option<Issuer>,
    written: OnceLock<serde_json::Result<Bytes>>,
}

impl Description {
    /// That of routes which are reached under this URL.
    pub(super) fn new(issuer: Option<Issuer>, endpoints: &'static [Endpoint]) -> Self {
        Self { endpoints, issuer, written: OnceLock::new() }
    }

    fn write(&self) -> serde_json::Result<Bytes> {
        let mut document = document(self.endpoints);
        document.servers = self
            .issuer
            .as_ref()
            .map(|issuer| vec![ServerBuilder::new().url(issuer.to_string()).build()]);
        Ok(serde_json::to_vec(&document)?.into())
    }
}

/// `GET /api/openapi.json`
pub(super) async fn show(description: Data<Description>) -> HttpResponse {
    match description.written.get_or_init(|| description.write()) {
        Ok(bytes) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
            .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
            .body(bytes.clone()),
        Err(error) => {
            log::error!("the API's description could not be written: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

fn document(endpoints: &[Endpoint]) -> OpenApi {
    let mut schemas = Schemas::new();
    error::ErrorBody::schemas(&mut schemas);
    schemas.push((error::ErrorBody::name().into_owned(), error::ErrorBody::schema()));
    let mut paths = Paths::new();
    for endpoint in endpoints {
        let operation = operation(endpoint, &mut schemas);
        for (method, suffix) in methods(endpoint.method.as_ref()) {
            let operation = operation.clone();
            // Unique, as it must be.
            let operation = OperationBuilder::from(operation)
                .operation_id(Some(format!("{}{suffix}", endpoint.docs.id)));
            paths.add_path_operation(endpoint.path, vec![method], operation);
        }
    }
    schemas.sort_by(|(one, _), (other, _)| one.cmp(other));
    let bearer = Http::builder().scheme(HttpAuthScheme::Bearer).build();
    let basic = Http::builder()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("A token as the password; the user's name may be anything."))
        .build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(BEARER, SecurityScheme::Http(bearer))
        .security_scheme(BASIC, SecurityScheme::Http(basic));
    let info = InfoBuilder::new()
        .title("bearerd")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build()));
    let tags =
        TAGS.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build());
    OpenApiBuilder::new()
        .info(info)
        .tags(Some(tags))
        .paths(paths)
        .components(Some(components.build()))
        .build()
}

fn operation(endpoint: &Endpoint, schemas: &mut Schemas) -> utoipa::openapi::path::Operation {
    let Endpoint { path, docs, .. } = endpoint;
    let requirement = match docs.checks_token {
        true => &Requirement::LiveToken,
        false => &endpoint.requirement,
    };
    let body = docs.body.map(|(schema, media_type)| {
        let content = ContentBuilder::new().schema(Some(schema(schemas))).build();
        let body = RequestBodyBuilder::new().required(Some(Required::True));
        body.content(media_type, content).build()
    });
    let ids = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters = ids.map(id).chain(docs.query.iter().map(query));
    let details = format!("{}\n\n{}", needed(requirement), docs.details);
    OperationBuilder::new()
        .tag(docs.tag)
        .operation_id(Some(docs.id))
        .summary(Some(docs.summary))
        .description(Some(details.trim()).filter(|text| !text.is_empty()))
        .parameters(Some(parameters))
        .request_body(body)
        .responses(answers::answers(docs, requirement, named(path), schemas))
        .securities(Some(securities(requirement, docs)))
        .build()
}

fn needed(requirement: &Requirement) -> String {
    let abilities = requirement.abilities().collect::<Vec<_>>().join("`, `");
    match requirement {
        Requirement::Nothing => String::new(),
        Requirement::LiveToken | Requirement::Service(None) => "Needs a live token.".to_owned(),
        Requirement::Ability(_) | Requirement::All(_) | Requirement::Service(Some(_)) => {
            format!("Needs the ability `{abilities}`.")
        }
        Requirement::Any(_) => format!("Needs one of the abilities `{abilities}`."),
        Requirement::Admin => "Needs an administrator, and the ability `admin`.".to_owned(),
    }
}

fn securities(requirement: &Requirement, docs: &Operation) -> Vec<SecurityRequirement> {
    let scheme = |name: &str| SecurityRequirement::new(name, requirement.abilities());
    match requirement {
        Requirement::Nothing if docs.bearer_optional => {
            vec![SecurityRequirement::default(), scheme(BEARER)]
        }
        Requirement::Nothing => Vec::new(),
        Requirement::Service(_) => vec![scheme(BEARER), scheme(BASIC)],
        _ => vec![scheme(BEARER)],
    }
}

/// What the last id of a path is of: `/api/users/{id}` names a user.
fn named(path: &'static str) -> Option<&'static str> {
    let (collection, _) = path.rsplit_once("s/{")?;
    collection.rsplit('/').next()
}

fn id(name: &str) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path);
    parameter.required(Required::True).schema(Some(fields::Id::schema())).build()
}

fn query(query: &Query) -> Parameter {
    let (name, about, schema): (_, _, Schema) = match *query {
        Query::Number(name, about, most, otherwise) => {
            let number = fields::integer(1).maximum(Some(most)).default(Some(json!(otherwise)));
            (name, about, number.into())
        }
        Query::Abilities(name, about) => {
            let abilities = ArrayBuilder::new().items(fields::ability()).max_items(Some(100));
            (name, about, abilities.into())
        }
        Query::Word(name, about, word) => {
            let text = ObjectBuilder::new().schema_type(Type::String);
            (name, about, text.enum_values(Some([word])).into())
        }
    };
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
    parameter.required(Required::False).description(Some(about)).schema(Some(schema)).build()
}

/// The methods that a row stands for, and what tells the operations of one row apart.
fn methods(method: Option<&Method>) -> Vec<(HttpMethod, &'static str)> {
    match method {
        None => vec![
            (HttpMethod::Get, ""),
            (HttpMethod::Head, "Head"),
            (HttpMethod::Post, "Post"),
            (HttpMethod::Put, "Put"),
            (HttpMethod::Patch, "Patch"),
            (HttpMethod::Delete, "Delete"),
            (HttpMethod::Options, "Options"),
            (HttpMethod::Trace, "Trace"),
        ],
        Some(&Method::POST) => vec![(HttpMethod::Post, "")],
        Some(&Method::PUT) => vec![(HttpMethod::Put, "")],
        Some(&Method::PATCH) => vec![(HttpMethod::Patch, "")],
        Some(&Method::DELETE) => vec![(HttpMethod::Delete, "")],
        Some(_) => vec![(HttpMethod::Get, "")],
    }
}
