//! JSON bodies. Each is declared once, by `body!` beside its handler: its fields say how it is read, checked
//! and described. Every fault of a body is found at once, and an undeclared field is one of them.
//!
//! The macro is used instead of the crate deserr, because deserr reads `null` as a missing field.

use std::fmt;

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Payload;
use futures_util::StreamExt;
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::auth;
use crate::domain::{User, ValidationErrors};
use crate::http::fields::Field;
use crate::http::response::error::ApiError;
use crate::http::{BODY_LIMIT, BODY_TIMEOUT};

pub(in crate::http) const JSON: &str = "application/json";
/// The most fields that a body may have; no endpoint knows as many.
const FIELDS: usize = 32;

/// A body that `body!` declares.
pub(in crate::http) trait Body: Sized {
    /// Takes the fields, all of them; `None` if one has a fault.
    fn take(body: &mut JsonBody<'_>) -> Option<Self>;
}

/// Declares a body: a struct and its schema, in which the type of each field is a [`Field`], or an `Option`
/// of one that may be left out.
macro_rules! body {
    ($(#[$about:meta])* struct $name:ident {
        $($(#[$field_about:meta])* $field:ident: $type:ty,)+
    }) => {
        #[derive(utoipa::ToSchema)]
        $(#[$about])*
        pub(in crate::http) struct $name {$(
            $(#[$field_about])*
            #[schema(value_type = $type, nullable = false)]
            $field: <$type as $crate::http::fields::Field>::Value,
        )+}

        impl $crate::http::request::body::Body for $name {
            fn take(body: &mut $crate::http::request::body::JsonBody<'_>) -> Option<Self> {
                $(let $field = body.take::<$type>(stringify!($field));)+
                Some(Self { $($field: $field?),+ })
            }
        }
    };
}

pub(in crate::http) use body;

/// The fields of a body, taken out one by one.
pub(in crate::http) struct JsonBody<'a> {
    /// The user whose stored name and email are accepted.
    stored: Option<&'a User>,
    fields: Map<String, Value>,
    known: Vec<&'static str>,
    faults: ValidationErrors,
}

impl<'a> JsonBody<'a> {
    /// Reads a request's body as a JSON object.
    ///
    /// # Errors
    /// 400 for what is no JSON object, 408, 413 and 415 as their names say, and 422 for a field
    /// that stands twice.
    pub(in crate::http) async fn read(
        request: &HttpRequest,
        body: Payload,
    ) -> Result<Self, ApiError> {
        if !has_type(request, JSON) {
            return Err(ApiError::UnsupportedType("JSON", JSON));
        }
        let bytes = read_body(body).await?;
        let Fields { fields, repeated, count } = serde_json::from_slice(&bytes).map_err(explain)?;
        if count > FIELDS {
            let text = format!("The request body must not have more than {FIELDS} fields.");
            return Err(ApiError::Malformed(text));
        }
        let mut faults = ValidationErrors::new();
        for field in repeated {
            let field = shown(&field);
            faults.add(&field, format!("The {field} field must not be given twice."));
        }
        Ok(Self { stored: None, fields, known: Vec::new(), faults })
    }

    /// Whether the body has this field.
    pub(in crate::http) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Accepts the name and the email that this user has, even if the rules for new ones refuse them.
    pub(in crate::http) fn keeping(self, user: &'a User) -> Self {
        Self { stored: Some(user), ..self }
    }

    /// Reads the body as `T`.
    ///
    /// # Errors
    /// 422 with every fault that was found, among them the fields that `T` does not declare.
    pub(in crate::http) fn parse<T: Body>(mut self) -> Result<T, ApiError> {
        let body = T::take(&mut self);
        let known = self.known.join(", ");
        for field in self.fields.keys() {
            let field = shown(field);
            let text = format!("The {field} field is not known here. Known are: {known}.");
            self.faults.add(&field, text);
        }
        match body {
            Some(body) if self.faults.is_empty() => Ok(body),
            _ => Err(auth::Error::Invalid(self.faults).into()),
        }
    }

    /// Takes a field; `None` if it has a fault. A `null` is no missing field: a token for which the
    /// abilities `null` were sent must not get the default ones.
    pub(in crate::http) fn take<F: Field>(&mut self, field: &'static str) -> Option<F::Value> {
        self.known.push(field);
        let read = match self.fields.remove(field) {
            Some(value) => F::read(value, self.stored),
            None => F::missing(),
        };
        let fault = |rule| {
            self.faults.add(field, format!("The {} field {rule}.", field.replace('_', " ")));
        };
        read.map_err(fault).ok()
    }
}

/// A key may be anything, and as long as the body: what is shown of it is not.
fn shown(field: &str) -> String {
    field.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// Whether a request's body is said to be of this media type.
pub(in crate::http) fn has_type(request: &HttpRequest, media_type: &str) -> bool {
    let value = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case(media_type))
}

/// A request's body.
///
/// # Errors
/// 400 if it can't be read, 408 and 413 as their names say.
pub(in crate::http) async fn read_body(body: Payload) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let read = tokio::time::timeout(BODY_TIMEOUT, collect(body));
    read.await.map_err(|_| ApiError::BodyTimeout)?
}

async fn collect(mut body: Payload) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    // Large enough from the start: a password is not left behind in an outgrown buffer.
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| {
            ApiError::Malformed(format!("The request body can't be read: {error}."))
        })?;
        if bytes.len() + chunk.len() > BODY_LIMIT {
            return Err(ApiError::BodyTooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn explain(error: serde_json::Error) -> ApiError {
    let (line, column) = (error.line(), error.column());
    let text = match error.classify() {
        serde_json::error::Category::Data => "The request body must be a JSON object.".to_owned(),
        _ => format!("The request body is not valid JSON: line {line}, column {column}."),
    };
    ApiError::Malformed(text)
}

struct Fields {
    fields: Map<String, Value>,
    /// Keys that stand more than once: which of the values was meant can't be told.
    repeated: Vec<String>,
    /// How many there are. Of those over the limit nothing is kept.
    count: usize,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let (mut fields, mut repeated, mut count) = (Map::new(), Vec::new(), 0);
                while let Some(key) = map.next_key::<String>()? {
                    count += 1;
                    if count > FIELDS {
                        map.next_value::<IgnoredAny>()?;
                    } else if fields.insert(key.clone(), map.next_value()?).is_some() {
                        repeated.push(key);
                    }
                }
                repeated.dedup();
                Ok(Fields { fields, repeated, count })
            }
        }

        deserializer.deserialize_map(Object)
    }
}
