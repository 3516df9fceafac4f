//! A JSON body, read field by field: every fault of the request is found at once, and a field that
//! nobody asked for is one of them.

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
use crate::domain::ValidationErrors;
use crate::http::response::error::ApiError;
use crate::http::{BODY_LIMIT, BODY_TIMEOUT};

pub(in crate::http) const JSON: &str = "application/json";
/// The most fields that a body may have; no endpoint knows as many.
const FIELDS: usize = 32;

/// The fields of a body, taken out one by one.
pub(in crate::http) struct JsonBody {
    fields: Map<String, Value>,
    known: Vec<&'static str>,
    faults: ValidationErrors,
}

impl JsonBody {
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
        Ok(Self { fields, known: Vec::new(), faults })
    }

    /// A string that must be there, as `parse` reads it.
    pub(in crate::http) fn required<T, E: fmt::Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        match self.take(field) {
            None | Some(Value::Null) => self.fault(field, "is required"),
            Some(Value::String(text)) => match parse(text) {
                Ok(value) => Some(value),
                Err(error) => self.fault(field, error),
            },
            Some(_) => self.fault(field, "must be a string"),
        }
    }

    /// Whether the body has this field.
    pub(in crate::http) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Whether this field holds a number.
    pub(in crate::http) fn is_number(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(Value::is_number)
    }

    /// A string, as `parse` reads it, if it is there.
    pub(in crate::http) fn optional<T, E: fmt::Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        match self.has(field) {
            true => self.required(field, parse),
            // It is known all the same.
            false => self.take(field).and(None),
        }
    }

    /// Yes or no, if it is there.
    pub(in crate::http) fn optional_bool(&mut self, field: &'static str) -> Option<bool> {
        match self.take(field)? {
            Value::Bool(value) => Some(value),
            _ => self.fault(field, "must be true or false"),
        }
    }

    /// A whole number within `range`, if it is there.
    pub(in crate::http) fn optional_integer(
        &mut self,
        field: &'static str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = self.take(field)?;
        match whole(&value).filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => {
                let (least, most) = (range.start(), range.end());
                self.fault(field, format!("must be a whole number from {least} to {most}"))
            }
        }
    }

    /// A list of strings, as `parse` reads it, if it is there.
    pub(in crate::http) fn optional_list<T, E: fmt::Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(Vec<String>) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.take(field)?;
        match serde_json::from_value::<Vec<String>>(value) {
            Err(_) => self.fault(field, "must be a list of strings"),
            Ok(texts) => match parse(texts) {
                Ok(value) => Some(value),
                Err(error) => self.fault(field, error),
            },
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 422 with every fault that was found, fields that nobody took included.
    pub(in crate::http) fn finish(mut self) -> Result<(), ApiError> {
        let known = self.known.join(", ");
        for field in self.fields.keys() {
            let field = shown(field);
            let text = format!("The {field} field is not known here. Known are: {known}.");
            self.faults.add(&field, text);
        }
        match self.faults.is_empty() {
            true => Ok(()),
            false => Err(auth::Error::Invalid(self.faults).into()),
        }
    }

    /// What a field holds. A `null` is a value: whoever sends it for a token's abilities must not
    /// get what those get who ask for none.
    fn take(&mut self, field: &'static str) -> Option<Value> {
        self.known.push(field);
        self.fields.remove(field)
    }

    fn fault<T>(&mut self, field: &str, rule: impl fmt::Display) -> Option<T> {
        self.faults.add(field, format!("The {} field {rule}.", field.replace('_', " ")));
        None
    }
}

/// What can't be: a form that ended well without a field that it requires.
pub(in crate::http) fn lacking() -> ApiError {
    auth::Error::Internal("a form ended well without its fields".to_owned()).into()
}

/// The whole number that a value is. To JSON Schema 60.0 is one too, and so it is to clients that
/// know no other numbers than doubles.
fn whole(value: &Value) -> Option<i64> {
    /// Up to here a double is exact: 2^53.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let double = || value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT);
    value.as_i64().or_else(|| double().map(|number| number as i64))
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
