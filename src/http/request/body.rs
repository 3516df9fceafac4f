//! Request bodies. A JSON body is declared once, by `body!` beside its handler: the types of its fields say
//! how each is read, checked and described. All errors of a body are found at once, and an undeclared field
//! is an error.
//!
//! The macro is used instead of the crate deserr, because deserr reads `null` as a missing field.

use std::fmt;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::auth;
use crate::domain::{User, ValidationErrors};
use crate::http::fields::Field;
use crate::http::response::error::ApiError;
use crate::http::{BODY_LIMIT, BODY_TIMEOUT};

pub(crate) const JSON: &str = "application/json";
/// The most fields that a body may have. Every route reads fewer.
const FIELDS: usize = 32;

/// A body that `body!` declares.
pub(crate) trait Body: Sized {
    /// Takes all fields. `None` if one of them has an error.
    fn take(body: &mut JsonBody, stored: Option<&User>) -> Option<Self>;
}

/// Declares a body: a struct and its schema, in which the type of each field is a [`Field`], or an `Option`
/// of one that may be left out.
macro_rules! body {
    ($(#[$about:meta])* struct $name:ident {
        $($(#[$field_about:meta])* $field:ident: $type:ty,)+
    }) => {
        #[derive(utoipa::ToSchema)]
        $(#[$about])*
        struct $name {$(
            $(#[$field_about])*
            #[schema(value_type = $type, nullable = false)]
            $field: <$type as $crate::http::fields::Field>::Value,
        )+}

        impl $crate::http::request::body::Body for $name {
            fn take(
                body: &mut $crate::http::request::body::JsonBody,
                stored: Option<&$crate::domain::User>,
            ) -> Option<Self> {
                $(let $field = body.take::<$type>(stringify!($field), stored);)+
                Some(Self { $($field: $field?),+ })
            }
        }
    };
}

pub(crate) use body;

/// A JSON object, as a handler's argument. The handler gets its fields by [`Self::parse`].
pub(crate) struct JsonBody {
    fields: Map<String, Value>,
    known: Vec<&'static str>,
    errors: ValidationErrors,
}

impl FromRequest for JsonBody {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read_body(request, payload, "JSON", JSON);
        Box::pin(async { Self::from_bytes(&body.await?) })
    }
}

impl JsonBody {
    fn from_bytes(bytes: &[u8]) -> Result<Self, ApiError> {
        let Fields { fields, repeated, count } = serde_json::from_slice(bytes).map_err(explain)?;
        if count > FIELDS {
            let text = format!("The request body must not have more than {FIELDS} fields.");
            return Err(ApiError::Malformed(text));
        }
        let mut errors = ValidationErrors::new();
        for field in repeated {
            let field = shown(&field);
            errors.add(&field, format!("The {field} field must not be given twice."));
        }
        Ok(Self { fields, known: Vec::new(), errors })
    }

    /// Whether the body has this field.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Reads the body as `T`.
    ///
    /// # Errors
    /// 422 with every error that was found. A field that `T` does not declare is an error.
    pub(crate) fn parse<T: Body>(self) -> Result<T, ApiError> {
        self.parse_update(None)
    }

    /// Reads the body as `T`, and accepts the name and the email that this user has, even if the rules for
    /// new ones refuse them.
    ///
    /// # Errors
    /// Those of [`Self::parse`].
    pub(crate) fn parse_update<T: Body>(mut self, stored: Option<&User>) -> Result<T, ApiError> {
        let body = T::take(&mut self, stored);
        let known = self.known.join(", ");
        for field in self.fields.keys() {
            let field = shown(field);
            let text = format!("The {field} field is unknown. The known fields are: {known}.");
            self.errors.add(&field, text);
        }
        match body {
            Some(body) if self.errors.is_empty() => Ok(body),
            _ => Err(auth::Error::Invalid(self.errors).into()),
        }
    }

    /// Takes a field. `None` if it has an error. `null` is not a missing field: a token for which the
    /// abilities `null` were sent must not get the default ones.
    pub(crate) fn take<F: Field>(
        &mut self,
        field: &'static str,
        stored: Option<&User>,
    ) -> Option<F::Value> {
        self.known.push(field);
        let read = match self.fields.remove(field) {
            Some(value) => F::read(value, stored),
            None => F::missing(),
        };
        let note = |rule| {
            self.errors.add(field, format!("The {} field {rule}.", field.replace('_', " ")));
        };
        read.map_err(note).ok()
    }
}

/// The part of an unknown key that an error shows. A key may have any characters, and be as long as the body.
fn shown(field: &str) -> String {
    field.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// Reads a request's body, which must have this media type. `name` is the type's name in the error.
///
/// # Errors
/// 400 if the connection fails, 408 after [`BODY_TIMEOUT`], 413 above [`BODY_LIMIT`], and 415 for another
/// media type.
pub(crate) fn read_body(
    request: &HttpRequest,
    payload: &mut Payload,
    name: &'static str,
    media_type: &'static str,
) -> impl Future<Output = Result<Zeroizing<Vec<u8>>, ApiError>> + use<> {
    let value = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).map(str::trim);
    let is_accepted = essence.is_some_and(|essence| essence.eq_ignore_ascii_case(media_type));
    let payload = payload.take();
    async move {
        if !is_accepted {
            return Err(ApiError::UnsupportedType(name, media_type));
        }
        let read = tokio::time::timeout(BODY_TIMEOUT, collect(payload));
        read.await.map_err(|_| ApiError::BodyTimeout)?
    }
}

async fn collect(mut payload: Payload) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    // Most bodies fit. A buffer that grows would leave a copy of the password in the memory that it frees.
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    while let Some(chunk) = payload.next().await {
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
    /// Keys that occur more than once. It is unknown which of their values was meant.
    repeated: Vec<String>,
    /// The number of all fields. Fields over the limit are not kept.
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
