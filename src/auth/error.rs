use crate::actors::HasherError;
use crate::domain::{Timestamp, ValidationErrors};
use crate::store::StoreError;

/// Why the service refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No token was sent.
    #[error("no bearer token was sent")]
    Unauthenticated,
    /// The string that was sent is not a live token.
    #[error("the token is not live")]
    InvalidToken,
    /// Wrong email, wrong password, or a disabled user. Clients can't tell these apart.
    #[error("the provided credentials are incorrect")]
    WrongCredentials,
    /// A limit was reached within a minute: of attempts with this email from this network, from this
    /// network, or with this email from all networks; or of tokens that bearers issue for one user.
    #[error("too many attempts; the next is allowed in {wait} s")]
    TooManyAttempts {
        /// The limit per minute.
        limit: u32,
        /// The seconds until the next is allowed.
        wait: u8,
        /// The time of the next attempt.
        until: Timestamp,
    },
    /// The token, or its owner, lacks these abilities (an RFC 6749 scope).
    #[error("the token lacks {0}")]
    InsufficientScope(String),
    /// The setting `email_change` forbids users to change their own emails.
    #[error("only an administrator may change an email")]
    EmailChangeDisabled,
    /// The request is ambiguous or incomplete.
    #[error("{0}")]
    Unclear(String),
    /// No access rule matches the request.
    #[error("no access rule matches")]
    NoRule,
    /// It doesn't exist, or belongs to another user.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Fields of the input are invalid.
    #[error("{}", .0.summary())]
    Invalid(ValidationErrors),
    /// Another change of the same user was committed first, twice in a row. Nothing was done.
    #[error("another change was made at the same time")]
    Conflict,
    /// A queue is full. Try again in a second.
    #[error("too many requests are waiting")]
    Busy,
    /// The store can't answer.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of the program.
    #[error("{0}")]
    Internal(String),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::Unavailable(cause) => Self::Unavailable(cause),
            StoreError::Dead => Self::InvalidToken,
            StoreError::Lacking(abilities) => Self::InsufficientScope(abilities),
            // Callers that write unique values handle these themselves.
            error @ (StoreError::Taken
            | StoreError::Reserved
            | StoreError::TooManyEmails
            | StoreError::Failed(_)) => Self::Internal(error.to_string()),
        }
    }
}

impl From<HasherError> for Error {
    fn from(error: HasherError) -> Self {
        match error {
            HasherError::Busy => Self::Busy,
            HasherError::Failed(cause) => Self::Internal(cause),
        }
    }
}
