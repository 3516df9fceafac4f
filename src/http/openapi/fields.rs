//! The schemas of what the domain parses. They stand here, because the domain knows nothing of HTTP.

use serde_json::json;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{OneOfBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::TokenKind;

/// Each field's name, which is its schema's too, what it is, and its rules.
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $name:ident = $rules:expr;)+) => {$(
        $(#[doc = $doc])+
        pub(in crate::http) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let about = [$($doc),+].map(str::trim).join(" ");
                $rules.description(Some(about)).into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

fields! {
    /// What a token is called. Blank ends are trimmed; characters that hide or reverse text are refused.
    Name = name().examples(["laptop"]);

    /// What a user is called. Blank ends are trimmed; characters that hide or reverse text are refused.
    UserName = name().examples(["Ada"]);

    /// An email address, kept as given, but composed (NFC) and with its domain in Unicode; compared
    /// without regard to case. At most 254 bytes. A new one beyond ASCII keeps to one script in each
    /// part (UTS 39).
    Email = string(3, 254)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::IdnEmail)))
        .examples(["ada@example.org"]);

    /// The password that a user has: at most 72 bytes.
    Password = password(1).examples(["correct horse"]);

    /// A password to be set: at least 8 characters, at most 72 bytes.
    NewPassword = password(8).examples(["correct horse"]);

    /// What a token may do: `*` is everything, `posts:*` everything that begins with `posts:`, an
    /// empty list nothing. In a `personal` or `operator` token a wildcard never covers `tokens:write`,
    /// `account:write`, `admin`, `introspect` and `events:read`: these must be named.
    Abilities = ArrayBuilder::new()
        .items(ability())
        .max_items(Some(100))
        .examples([json!(["posts:read", "posts:write"])]);

    /// Where a token comes from: issued for a password, by another token, or on the command line.
    Kind = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(TokenKind::ALL.map(TokenKind::as_str)));

    /// After how many seconds a token expires: at most a hundred years.
    Seconds = integer(1).maximum(Some(crate::http::api::tokens::LONGEST_LIFE)).examples([86_400]);

    /// An IP address.
    Address = OneOfBuilder::new().item(address(KnownFormat::Ipv4)).item(address(KnownFormat::Ipv6));

    /// A token's string, or its number.
    TokenOrId = OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::String))
        .item(integer(1));

    /// A row's number; never given twice.
    Id = integer(1).examples([1]);

    /// A time in UTC, to the second.
    Time = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .pattern(Some(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"))
        .examples(["2026-01-01T00:00:00Z"]);

    /// A token's string, shown this once.
    PlainToken = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[A-Za-z0-9]{1,10}_[A-Za-z0-9]{40}[0-9a-f]{8}$"))
        .examples(["bd_IO9MGoI2WbpLgjIZAhqTXETShQXHvHHDlEyoQbUE2e914009"]);
}

fn string(least: usize, most: usize) -> ObjectBuilder {
    let string = ObjectBuilder::new().schema_type(Type::String);
    string.min_length(Some(least)).max_length(Some(most))
}

fn name() -> ObjectBuilder {
    // Somewhere a character that is neither blank nor a control character, and of those none.
    string(1, 255).pattern(Some(
        r"^[\t-\r ]*[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*[\t-\r ]*$",
    ))
}

/// Of which bcrypt reads no more than 72 bytes, and nothing after a NUL.
fn password(least: usize) -> ObjectBuilder {
    string(least, 72)
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
    string(1, 100).pattern(Some(r"^[!#-\[\]-~]+$"))
}

fn address(format: KnownFormat) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(format)))
}
