use crate::actors::HasherError;
use crate::domain::{Timestamp, ValidationErrors};
use crate::store::StoreError;

/// Why the service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No token was sent.
    #[error("no bearer token was sent")]
    Unauthenticated,
    /// What was sent is no live token.
    #[error("the token is not live")]
    InvalidToken,
    /// Wrong email, wrong password, or a disabled user; nobody is told which.
    #[error("the provided credentials are incorrect")]
    WrongCredentials,
    /// A limit was reached within a minute: of attempts with this email from this network, from this
    /// network, or with this email from all networks; or of tokens that bearers issue for one user.
    #[error("too many attempts; the next is allowed in {wait} s")]
    TooManyAttempts {
        /// How many a minute may have.
        limit: u32,
        /// The seconds until the next is allowed.
        wait: u8,
        /// When that is.
        until: Timestamp,
    },
    /// The token, or its owner, lacks these abilities (an RFC 6749 scope).
    #[error("the token lacks {0}")]
    InsufficientScope(String),
    /// Users may not change their own emails.
    #[error("only an administrator may change an email")]
    EmailChangeDisabled,
    /// It can't be told what is asked.
    #[error("{0}")]
    Unclear(String),
    /// No access rule matches the request.
    #[error("no access rule matches")]
    NoRule,
    /// There is no such thing, or it is somebody else's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The input breaks rules, field by field.
    #[error("{}", .0.summary())]
    Invalid(ValidationErrors),
    /// Another change of the same thing was committed first, twice in a row. Nothing was done.
    #[error("another change was made at the same time")]
    Conflict,
    /// Too much is going on; worth another try in a second.
    #[error("too many requests are waiting")]
    Busy,
    /// The store can't answer.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of the program's own.
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
            // The caller that writes a unique value names what is taken.
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
