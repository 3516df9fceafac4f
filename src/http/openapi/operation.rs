//! What is said of a route besides what its row in the table says.

use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::{OneOfBuilder, Ref, RefOr};

use crate::http::request::body::JSON;
use crate::http::request::paging::Listing;
use crate::http::response::error::ApiError;
use crate::http::response::json::Data;

/// The named schemas that a document holds.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;
/// Adds a schema, and those that it needs, to the named ones, and refers to it.
pub(super) type SchemaOf = fn(&mut Schemas) -> RefOr<Schema>;

/// A route's description. What follows from its method, path and requirement is not in it.
#[derive(Clone, Copy)]
pub(in crate::http) struct Operation {
    /// The heading that it stands under.
    pub(super) tag: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// More, in Markdown; empty for no more.
    pub(super) details: &'static str,
    pub(super) query: &'static [Query],
    /// The body that is read, and its media type.
    pub(super) body: Option<(SchemaOf, &'static str)>,
    /// Whether a bearer token may be sent, where the route needs nothing.
    pub(super) bearer_optional: bool,
    /// Whether its handler checks the token, and the guard lets every request through.
    pub(super) checks_token: bool,
    /// The status of success, and its body.
    pub(super) status: u16,
    pub(super) content: Content,
    /// The headers that success may have.
    pub(super) headers: &'static [&'static str],
    /// What else may be refused, and why.
    pub(super) refusals: &'static [fn() -> ApiError],
}

/// The body of an answer.
#[derive(Clone, Copy)]
pub(super) enum Content {
    Nothing,
    Text,
    Json(SchemaOf),
}

/// A parameter of the query; each may be left out.
#[derive(Clone, Copy)]
pub(super) enum Query {
    /// A whole number from 1: its name, what it is, the most, and the one for want of it.
    Number(&'static str, &'static str, i64, i64),
    /// Abilities, one each time that it is given: its name, and what it is.
    Abilities(&'static str, &'static str),
    /// A word: its name, what it is, and the only one that there is.
    Word(&'static str, &'static str, &'static str),
}

impl Operation {
    /// An operation that answers 204.
    pub(super) const fn new(tag: &'static str, id: &'static str, summary: &'static str) -> Self {
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

    pub(super) const fn details(self, details: &'static str) -> Self {
        Self { details, ..self }
    }

    pub(super) const fn query(self, query: &'static [Query]) -> Self {
        Self { query, ..self }
    }

    pub(super) const fn reads<T: ToSchema>(self) -> Self {
        Self { body: Some((closed::<T>, JSON)), ..self }
    }

    /// Reads a form of this media type, which may have other fields besides.
    pub(super) const fn reads_form<T: ToSchema>(self, media_type: &'static str) -> Self {
        Self { body: Some((named::<T>, media_type)), ..self }
    }

    /// Reads the one without a bearer token, and with one either.
    pub(super) const fn reads_either<T: ToSchema, U: ToSchema>(self) -> Self {
        Self { body: Some((either::<T, U>, JSON)), bearer_optional: true, ..self }
    }

    /// Its handler itself asks for a live token.
    pub(super) const fn checks_token(self) -> Self {
        Self { checks_token: true, ..self }
    }

    pub(super) const fn answers<T: ToSchema>(self, status: u16) -> Self {
        Self { status, content: Content::Json(named::<T>), ..self }
    }

    pub(super) const fn answers_data<T: ToSchema>(self, status: u16) -> Self {
        Self { status, content: Content::Json(wrapped::<Data<T>, T>), ..self }
    }

    pub(super) const fn answers_page<T: ToSchema>(self) -> Self {
        Self { status: 200, content: Content::Json(wrapped::<Listing<T>, T>), ..self }
    }

    /// Answers nothing but a status, and these headers if it has something to tell.
    pub(super) const fn answers_with(self, headers: &'static [&'static str]) -> Self {
        Self { status: 200, content: Content::Nothing, headers, ..self }
    }

    pub(super) const fn answers_text(self) -> Self {
        Self { status: 200, content: Content::Text, ..self }
    }

    pub(super) const fn refuses(self, refusals: &'static [fn() -> ApiError]) -> Self {
        Self { refusals, ..self }
    }
}

fn named<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
    Ref::from_schema_name(T::name()).into()
}

/// What wraps the same way around one type and another has no name of its own.
fn wrapped<W: ToSchema, T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    named::<T>(schemas);
    W::schemas(schemas);
    W::schema()
}

/// A body that is read by `JsonBody`, which refuses the fields that it does not know.
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
