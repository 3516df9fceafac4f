use super::{Abilities, Email, Name, Timestamp};

/// The owner of tokens. The password hash is kept out of this type, because only logins need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The row's id; ids are never reused.
    pub id: i64,
    /// The user's name.
    pub name: Name,
    /// The email that the user logs in with.
    pub email: Email,
    /// The user's abilities, which limit those of the user's tokens.
    pub abilities: Abilities,
    /// Whether the user is an administrator. Administration also needs a token with the ability `admin`.
    pub admin: bool,
    /// When the user was disabled; logins and all tokens of a disabled user are refused.
    pub disabled_at: Option<Timestamp>,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When the user was last changed.
    pub updated_at: Timestamp,
}

/// Who may change a user's email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailChange {
    /// Only administrators.
    Admin,
    /// Administrators, and the user.
    Owner,
}
