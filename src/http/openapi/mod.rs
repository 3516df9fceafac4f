//! `GET /api/openapi.json`: the description of the API, as OpenAPI 3.1. It is written from what the server
//! runs: the route table, the structs of bodies and answers, and the errors.

pub(super) mod answers;
pub(super) mod operation;

use std::sync::OnceLock;

use actix_web::HttpResponse;
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Data};
use serde_json::json;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ComponentsBuilder, Schema};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ContentBuilder, HttpMethod, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths,
    Required, ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::endpoint::Endpoint;
use super::fields;
use super::response::error::{ApiError, ErrorBody};
use super::response::json::with_json;
use crate::auth;
use crate::config::Issuer;
use crate::domain::Requirement;
pub(super) use operation::Operation;
use operation::{Query, Schemas, tag};

const ABOUT: &str = "Bearer-token authentication. Log in with `POST /api/tokens`, and send the token of \
    the answer as `Authorization: Bearer …`. Errors have a `message` for people and a `code` for \
    programs. With 422, `errors` has the errors of each field.";
/// The headings, in the order of the viewer.
const TAGS: [(&str, &str); 5] = [
    (tag::TOKENS, "Log in, log out, and manage your own tokens"),
    (tag::ACCOUNT, "Your own name, email and password"),
    (tag::USERS, "The users and their tokens, for administrators"),
    (tag::PROXIES, "Check other clients' tokens"),
    (tag::SERVICE, "Health, metrics and this description"),
];
const BEARER: &str = "bearer";
const BASIC: &str = "basic";

/// The API's description. It is written for the first request, once for all threads, because most servers
/// get no such request.
pub struct Description {
    endpoints: &'static [Endpoint],
    /// The URL that the paths are relative to. The default is the URL of the description.
    issuer: Option<Issuer>,
    written: OnceLock<serde_json::Result<Bytes>>,
}

impl Description {
    /// The description of these routes, which clients reach under the URL `issuer`.
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

pub(super) const DESCRIPTION: Operation =
    Operation::new(tag::SERVICE, "openapi", "Show this description").answers::<Document>(200);

/// An OpenAPI document.
#[derive(ToSchema)]
#[schema(as = Description)]
#[expect(dead_code, reason = "read by the derived schema alone")]
struct Document {
    #[schema(pattern = r"^3\.1\.\d+$")]
    openapi: String,
    info: serde_json::Map<String, serde_json::Value>,
    paths: serde_json::Map<String, serde_json::Value>,
    components: serde_json::Map<String, serde_json::Value>,
}

/// `GET /api/openapi.json`
pub(super) async fn show(description: Data<Description>) -> Result<HttpResponse, ApiError> {
    let failed =
        |error| auth::Error::Internal(format!("the description can't be written: {error}"));
    let written = description.written.get_or_init(|| description.write());
    Ok(with_json(StatusCode::OK, written.as_ref().map_err(failed)?.clone()))
}

fn document(endpoints: &[Endpoint]) -> OpenApi {
    let mut schemas = Schemas::new();
    ErrorBody::schemas(&mut schemas);
    schemas.push((ErrorBody::name().into_owned(), ErrorBody::schema()));
    let mut paths = Paths::new();
    for endpoint in endpoints {
        let operation = operation(endpoint, &mut schemas);
        for (method, suffix) in methods(endpoint.method.as_ref()) {
            let operation = OperationBuilder::from(operation.clone())
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
    let details = format!("{}\n\n{}", required(requirement), docs.details);
    OperationBuilder::new()
        .tag(docs.tag)
        .summary(Some(docs.summary))
        .description(Some(details.trim()).filter(|text| !text.is_empty()))
        .parameters(Some(parameters))
        .request_body(body)
        .responses(answers::answers(docs, requirement, endpoint.resource(), schemas))
        .securities(Some(securities(requirement, docs)))
        .build()
}

fn required(requirement: &Requirement) -> String {
    let abilities = requirement.abilities().collect::<Vec<_>>().join("`, `");
    match requirement {
        Requirement::Nothing => String::new(),
        Requirement::LiveToken | Requirement::Service(None) => "Requires a live token.".to_owned(),
        Requirement::Ability(_) | Requirement::All(_) | Requirement::Service(Some(_)) => {
            format!("Requires the ability `{abilities}`.")
        }
        Requirement::Any(_) => format!("Requires one of the abilities `{abilities}`."),
        Requirement::Admin => "Requires an administrator, and the ability `admin`.".to_owned(),
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
            (name, about, fields::string().enum_values(Some([word])).into())
        }
    };
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
    parameter.required(Required::False).description(Some(about)).schema(Some(schema)).build()
}

/// The methods of a row, each with the suffix that makes the id of its operation unique.
fn methods(method: Option<&Method>) -> Vec<(HttpMethod, &'static str)> {
    let method = match method {
        None => {
            return vec![
                (HttpMethod::Get, ""),
                (HttpMethod::Head, "Head"),
                (HttpMethod::Post, "Post"),
                (HttpMethod::Put, "Put"),
                (HttpMethod::Patch, "Patch"),
                (HttpMethod::Delete, "Delete"),
                (HttpMethod::Options, "Options"),
                (HttpMethod::Trace, "Trace"),
            ];
        }
        Some(&Method::POST) => HttpMethod::Post,
        Some(&Method::PUT) => HttpMethod::Put,
        Some(&Method::PATCH) => HttpMethod::Patch,
        Some(&Method::DELETE) => HttpMethod::Delete,
        Some(_) => HttpMethod::Get,
    };
    vec![(method, "")]
}
