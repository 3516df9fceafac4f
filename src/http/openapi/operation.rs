//! The description of a route, as far as it does not follow from the route's row in the route table.

use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::{OneOfBuilder, Ref, RefOr};

use crate::http::request::body::JSON;
use crate::http::request::paging::Listing;
use crate::http::response::error::ApiError;
use crate::http::response::json::Data;

/// The named schemas of a document.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;
/// Adds a schema and its parts to the named schemas, and returns a reference to it.
pub(super) type SchemaOf = fn(&mut Schemas) -> RefOr<Schema>;

/// The headings of the description.
pub(crate) mod tag {
    pub(crate) const TOKENS: &str = "tokens";
    pub(crate) const ACCOUNT: &str = "account";
    pub(crate) const USERS: &str = "users";
    pub(crate) const PROXIES: &str = "proxies and services";
    pub(crate) const SERVICE: &str = "service";
}

/// A route's description. Its method, path and requirement are in the route table.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    pub(super) tag: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// Further sentences, in Markdown.
    pub(super) details: &'static str,
    pub(super) query: &'static [Query],
    /// The request's body, and its media type.
    pub(super) body: Option<(SchemaOf, &'static str)>,
    /// Whether the route, which requires no token, accepts one.
    pub(super) bearer_optional: bool,
    /// Whether the handler checks the token instead of the guard.
    pub(super) checks_token: bool,
    /// The status of a success, and its body.
    pub(super) status: u16,
    pub(super) content: Content,
    /// The headers that a success may have.
    pub(super) headers: &'static [&'static str],
    /// An example of each error that does not follow from the requirement, the body and the path.
    pub(super) refusals: &'static [fn() -> ApiError],
}

/// The body of an answer.
#[derive(Clone, Copy)]
pub(super) enum Content {
    Nothing,
    Text,
    Json(SchemaOf),
}

/// An optional parameter of the query. The first two fields are its name and its description.
#[derive(Clone, Copy)]
pub(crate) enum Query {
    /// A whole number from 1 to the third field. The fourth is the default.
    Number(&'static str, &'static str, i64, i64),
    /// An ability. It may be repeated.
    Abilities(&'static str, &'static str),
    /// A word, which must be the third field.
    Word(&'static str, &'static str, &'static str),
}

/// The parameters of a route that answers page by page.
const PAGING: &[Query] = &[
    Query::Number("page", "The number of the page, counted from 1", 1_000_000_000, 1),
    Query::Number("per_page", "The most rows on a page", 100, 15),
];

impl Operation {
    /// An operation without a body, which answers 204.
    pub(crate) const fn new(tag: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            tag,
            id,
            summary,
            details: "",
            query: &[],
            body: None,
            bearer_optional: false,
            checks_token: false,
            status: 204,
            content: Content::Nothing,
            headers: &[],
            refusals: &[],
        }
    }

    pub(crate) const fn details(self, details: &'static str) -> Self {
        Self { details, ..self }
    }

    pub(crate) const fn query(self, query: &'static [Query]) -> Self {
        Self { query, ..self }
    }

    pub(crate) const fn reads<T: ToSchema>(self) -> Self {
        Self { body: Some((closed::<T>, JSON)), ..self }
    }

    /// Reads a form of this media type. It may have undeclared fields.
    pub(crate) const fn reads_form<T: ToSchema>(self, media_type: &'static str) -> Self {
        Self { body: Some((named::<T>, media_type)), ..self }
    }

    /// Reads a `T` or a `U`. The token is optional.
    pub(crate) const fn reads_either<T: ToSchema, U: ToSchema>(self) -> Self {
        Self { body: Some((either::<T, U>, JSON)), bearer_optional: true, ..self }
    }

    /// The guard lets every request through, and the handler checks the token.
    pub(crate) const fn checks_token(self) -> Self {
        Self { checks_token: true, ..self }
    }

    pub(crate) const fn answers<T: ToSchema>(self, status: u16) -> Self {
        Self { status, content: Content::Json(named::<T>), ..self }
    }

    pub(crate) const fn answers_data<T: ToSchema>(self, status: u16) -> Self {
        Self { status, content: Content::Json(wrapped::<Data<T>, T>), ..self }
    }

    pub(crate) const fn answers_page<T: ToSchema>(self) -> Self {
        let content = Content::Json(wrapped::<Listing<T>, T>);
        Self { status: 200, query: PAGING, content, ..self }
    }

    /// Answers 200 without a body. The answer may have these headers.
    pub(crate) const fn answers_with(self, headers: &'static [&'static str]) -> Self {
        Self { status: 200, content: Content::Nothing, headers, ..self }
    }

    pub(crate) const fn answers_text(self) -> Self {
        Self { status: 200, content: Content::Text, ..self }
    }

    pub(crate) const fn refuses(self, refusals: &'static [fn() -> ApiError]) -> Self {
        Self { refusals, ..self }
    }
}

fn named<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
    Ref::from_schema_name(T::name()).into()
}

/// A wrapper has no name, because it is not specific to `T`.
fn wrapped<W: ToSchema, T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    named::<T>(schemas);
    W::schemas(schemas);
    W::schema()
}

/// The schema of a body that `JsonBody` reads. It refuses undeclared fields.
fn closed<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    let reference = named::<T>(schemas);
    if let Some((_, RefOr::T(Schema::Object(object)))) = schemas.last_mut() {
        object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    }
    reference
}

fn either<T: ToSchema, U: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    OneOfBuilder::new().item(closed::<T>(schemas)).item(closed::<U>(schemas)).into()
}
