//! The fields of requests and answers: how each is described, and how it is read from a body. The rules for
//! their values are in `domain`.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde_json::{Value, json};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{OneOfBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::auth::Subject;
use crate::domain::{self, TokenKind, User};

/// The longest accepted lifetime: a hundred years, in seconds.
const LONGEST_LIFE: i64 = 36_525 * 24 * 60 * 60;

/// A field of a body.
pub(super) trait Field {
    /// The type of its value.
    type Value;

    /// Reads the field. The name and the email of the user `stored` are accepted even if they break the rules.
    ///
    /// # Errors
    /// The broken rule, such as "must be a string", to follow the field's name in a sentence.
    fn read(value: Value, stored: Option<&User>) -> Result<Self::Value, String>;

    /// The value of a field that a body lacks.
    ///
    /// # Errors
    /// The same kind of text, if the field is required.
    fn missing() -> Result<Self::Value, String> {
        Err("is required".to_owned())
    }
}

impl<F: Field> Field for Option<F> {
    type Value = Option<F::Value>;

    fn read(value: Value, stored: Option<&User>) -> Result<Self::Value, String> {
        F::read(value, stored).map(Some)
    }

    fn missing() -> Result<Self::Value, String> {
        Ok(None)
    }
}

/// Implements [`Field`]: the field's type, the type of its value, and its reader.
macro_rules! reads {
    ($($field:ty => $value:ty: $read:expr;)+) => {$(
        impl Field for $field {
            type Value = $value;

            fn read(value: Value, stored: Option<&User>) -> Result<$value, String> {
                $read(value, stored)
            }
        }
    )+};
}

/// Declares fields: the description, the name, which is also the name of the schema, the schema, and the reader
/// if a body has the field.
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $name:ident = $rules:expr $(=> $value:ty: $read:expr)?;)+) => {$(
        $(#[doc = $doc])+
        pub(super) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let about = [$($doc),+].map(str::trim).join(" ");
                $rules.description(Some(about)).into()
            }
        }

        impl ToSchema for $name {}

        $(reads! { $name => $value: $read; })?
    )+};
}

fields! {
    /// The name of a token. Blank ends are trimmed; characters that hide or reverse text are refused.
    Name = name().examples(["laptop"])
        => domain::Name: text(|text| domain::Name::parse(&text));

    /// The name of a user. Blank ends are trimmed; characters that hide or reverse text are refused.
    UserName = name().examples(["Ada"])
        => domain::Name: |value, stored: Option<&User>| match stored {
            Some(user) if value == user.name.as_str() => Ok(user.name.clone()),
            _ => Name::read(value, None),
        };

    /// An email address of at most 254 bytes. It is stored composed (NFC) and with its domain in Unicode, and
    /// compared without regard to case. Each part of a new one that is not ASCII must be in a single script
    /// (UTS 39).
    Email = string_of(3, 254)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::IdnEmail)))
        .examples(["ada@example.org"])
        => domain::Email: |value, stored: Option<&User>| match stored {
            Some(user) if value == user.email.as_str() => Ok(user.email.clone()),
            _ => text(|text| domain::Email::parse(&text))(value, None),
        };

    /// The user's current password: at most 72 bytes.
    Password = password(1).examples(["correct horse"])
        => domain::Password: text(domain::Password::claimed);

    /// A new password: at least 8 characters, at most 72 bytes.
    NewPassword = password(8).examples(["correct horse"])
        => domain::Password: text(domain::Password::chosen);

    /// The abilities of a token or a user. `*` allows everything, `posts:*` everything that begins with
    /// `posts:`, and an empty list nothing. A wildcard of a `personal` or `operator` token never covers
    /// `tokens:write`, `account:write`, `admin`, `introspect` and `events:read`: these must be named.
    Abilities = ArrayBuilder::new()
        .items(ability())
        .max_items(Some(100))
        .examples([json!(["posts:read", "posts:write"])])
        => domain::Abilities: |value, _| abilities(value);

    /// How a token was issued: for a password, by another token, or on the command line.
    Kind = string()
        .enum_values(Some(TokenKind::ALL.map(TokenKind::as_str)));

    /// The lifetime of a token, in seconds: at most a hundred years.
    Seconds = integer(1).maximum(Some(LONGEST_LIFE)).examples([86_400])
        => i64: |value, _| whole(&value, 1..=LONGEST_LIFE);

    /// An IP address.
    Address = OneOfBuilder::new().item(address(KnownFormat::Ipv4)).item(address(KnownFormat::Ipv6))
        => IpAddr: text(|text| text.parse().map_err(|_| "must be an IP address, such as 127.0.0.1"));

    /// A token's string, or its id.
    TokenOrId = OneOfBuilder::new()
        .item(string())
        .item(integer(1))
        => Subject: |value: Value, _| match value.is_number() {
            true => whole(&value, 1..=i64::MAX).map(Subject::Row),
            false => String::read(value, None).map(|text| Subject::Sent(text.into())),
        };

    /// The id of a user or a token. It is never given to another.
    Id = integer(1).examples([1]);

    /// A time in UTC, to the second.
    Time = string()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .pattern(Some(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"))
        .examples(["2026-01-01T00:00:00Z"]);

    /// A token's string. It is never shown again.
    PlainToken = string()
        .pattern(Some("^[A-Za-z0-9]{1,10}_[A-Za-z0-9]{40}[0-9a-f]{8}$"))
        .examples(["bd_IO9MGoI2WbpLgjIZAhqTXETShQXHvHHDlEyoQbUE2e914009"]);
}

/// The email in a login, to which the rules for new emails don't apply. Its schema is that of [`Email`].
pub(super) struct ClaimedEmail;

impl PartialSchema for ClaimedEmail {
    fn schema() -> RefOr<Schema> {
        Email::schema()
    }
}

impl ToSchema for ClaimedEmail {
    fn name() -> Cow<'static, str> {
        Email::name()
    }
}

reads! {
    ClaimedEmail => domain::Email: text(|text| domain::Email::claimed(&text));
    String => String: text(Ok::<_, &str>);
    bool => bool: |value: Value, _| value.as_bool().ok_or_else(|| "must be true or false".to_owned());
}

/// A reader of strings, which passes them to `parse`.
fn text<T, E: fmt::Display>(
    parse: impl FnOnce(String) -> Result<T, E>,
) -> impl FnOnce(Value, Option<&User>) -> Result<T, String> {
    |value, _| match value {
        Value::Null => Err("is required".to_owned()),
        Value::String(text) => parse(text).map_err(|error| error.to_string()),
        _ => Err("must be a string".to_owned()),
    }
}

fn abilities(value: Value) -> Result<domain::Abilities, String> {
    let texts = serde_json::from_value::<Vec<String>>(value);
    let texts = texts.map_err(|_| "must be a list of strings")?;
    domain::Abilities::parse(texts).map_err(|error| error.to_string())
}

/// Reads a whole number. 60.0 is one in JSON Schema, and in clients whose only numbers are doubles.
fn whole(value: &Value, range: RangeInclusive<i64>) -> Result<i64, String> {
    /// 2^53, up to which a double represents every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let double = || value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT);
    let number = value.as_i64().or_else(|| double().map(|number| number as i64));
    let (least, most) = (range.start(), range.end());
    let within = number.filter(|number| range.contains(number));
    within.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

pub(super) fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn string_of(least: usize, most: usize) -> ObjectBuilder {
    string().min_length(Some(least)).max_length(Some(most))
}

fn name() -> ObjectBuilder {
    // At least one character that is not blank, and no control character except at blank ends.
    string_of(1, 255).pattern(Some(
        r"^[\t-\r ]*[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*[\t-\r ]*$",
    ))
}

/// bcrypt reads at most 72 bytes, and nothing after a NUL.
fn password(least: usize) -> ObjectBuilder {
    string_of(least, 72)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
        .pattern(Some(r"^[^\x00]*$"))
}

pub(super) fn integer(least: i64) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(least))
}

/// One ability: an RFC 6749 scope-token.
pub(super) fn ability() -> ObjectBuilder {
    string_of(1, 100).pattern(Some(r"^[!#-\[\]-~]+$"))
}

fn address(format: KnownFormat) -> ObjectBuilder {
    string().format(Some(SchemaFormat::KnownFormat(format)))
}
