//! What the handlers read from a request's body, field by field. A test asks the server for each
//! field, and which of them it requires, and compares.
#![expect(dead_code, reason = "read by the derived schemas alone")]

use utoipa::ToSchema;

use super::fields::{
    Abilities, Address, Email, Name, NewPassword, Password, Seconds, TokenOrId, UserName,
};

#[derive(ToSchema)]
#[schema(
    title = "Log in",
    // Not more: a token that can do less is asked for knowingly.
    examples(json!({"email": "ada@example.org", "password": "correct horse", "device_name": "laptop"}))
)]
pub(super) struct Login {
    email: Email,
    password: Password,
    /// What the token is called in the list of tokens.
    device_name: Name,
    /// Every ability of the user's, unless given.
    #[schema(required = false)]
    abilities: Abilities,
    #[schema(required = false)]
    expires_in: Seconds,
}

#[derive(ToSchema)]
#[schema(title = "By bearer")]
pub(super) struct PersonalToken {
    /// What the token is called in the list of tokens.
    device_name: Name,
    /// No more than the bearer may do; the bearer's own list, unless given.
    #[schema(required = false)]
    abilities: Abilities,
    /// Unless the bearer's is a login token: at most the time that it has left, which is also the default.
    #[schema(required = false)]
    expires_in: Seconds,
}

#[derive(ToSchema)]
pub(super) struct TokenName {
    device_name: Name,
}

#[derive(ToSchema)]
pub(super) struct Account {
    name: UserName,
    email: Email,
    /// Needed for an email in any other spelling than the present one.
    #[schema(required = false)]
    current_password: Password,
}

#[derive(ToSchema)]
pub(super) struct PasswordChange {
    current_password: Password,
    password: NewPassword,
}

#[derive(ToSchema)]
#[schema(examples(json!({"name": "Grace", "email": "grace@example.org", "password": "correct horse"})))]
pub(super) struct NewUser {
    name: UserName,
    email: Email,
    password: NewPassword,
    /// Every ability, unless given.
    #[schema(required = false)]
    abilities: Abilities,
    #[schema(required = false)]
    admin: bool,
    /// Lets the user have an email that its last owner has given up, and ends its reservation.
    #[schema(required = false)]
    reuse_email: bool,
}

/// What is not given stays as it is. For one's own account, `email` and `password` are refused.
#[derive(ToSchema)]
#[schema(examples(json!({"name": "Grace"})))]
pub(super) struct UserChange {
    #[schema(required = false)]
    name: UserName,
    #[schema(required = false)]
    email: Email,
    /// Lets the user have an email that its last owner has given up, and ends its reservation.
    #[schema(required = false)]
    reuse_email: bool,
    #[schema(required = false)]
    abilities: Abilities,
    #[schema(required = false)]
    admin: bool,
    /// Shuts the user and all their tokens out.
    #[schema(required = false)]
    disabled: bool,
    /// Revokes the user's tokens.
    #[schema(required = false)]
    password: NewPassword,
}

/// OAuth's form. Other fields don't matter.
#[derive(ToSchema)]
pub(super) struct HeldToken {
    /// The token's string.
    #[schema(min_length = 1)]
    token: String,
    /// Not needed to find it.
    #[schema(required = false)]
    token_type_hint: String,
}

/// A request to somebody else, and the token that it would be sent with.
#[derive(ToSchema)]
#[schema(examples(json!({"token": 1, "method": "GET", "host": "app.example.org", "uri": "/posts/1"})))]
pub(super) struct Question {
    #[schema(required = false)]
    token: TokenOrId,
    /// Abilities that are named in the query; all are needed.
    #[schema(required = false)]
    abilities: Abilities,
    /// The original request's method: GET, unless given.
    #[schema(required = false)]
    method: String,
    /// The host that the original request is for.
    #[schema(required = false)]
    host: String,
    /// The original request's path and query: /, unless given beside one of those.
    #[schema(required = false)]
    uri: String,
    /// The original request's header `Destination`, which COPY and MOVE have: a URL or a path.
    #[schema(required = false)]
    destination: String,
    /// The address of whoever asks for the request: a trusted proxy's, unless given.
    #[schema(required = false)]
    from: Address,
}
