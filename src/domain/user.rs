use super::{Abilities, Email, Name, Timestamp};

/// Somebody whom tokens belong to. The password's hash is not here: only a login reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The row's number; never given twice.
    pub id: i64,
    /// What the user is called.
    pub name: Name,
    /// What the user logs in with.
    pub email: Email,
    /// What the user, and so any token of theirs, may do at most.
    pub abilities: Abilities,
    /// Whether the user may administrate, with a token that has `admin`.
    pub admin: bool,
    /// Since when the user and all their tokens are shut out.
    pub disabled_at: Option<Timestamp>,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When the user was last changed.
    pub updated_at: Timestamp,
}

/// Who may change the email of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailChange {
    /// Administrators alone.
    Admin,
    /// The account's owner too.
    Owner,
}
