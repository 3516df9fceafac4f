//! The operations on one's own tokens.

use super::answers::too_many_attempts;
use super::operation::{Operation, Query};
use crate::auth::Error;
use crate::http::api::tokens::{Created, Login, PersonalToken, TokenBody, TokenName};

pub(super) const TAG: &str = "tokens";

/// Where in a list.
pub(super) const PAGING: &[Query] = &[
    Query::Number("page", "Which page, counted from 1", 1_000_000_000, 1),
    Query::Number("per_page", "Rows a page", 100, 15),
];

pub(in crate::http) const CREATE: Operation =
    Operation::new(TAG, "createToken", "Log in, or issue a personal access token")
        .details(
            "With an email and a password, a login. With a bearer token that has the ability \
             `tokens:write`, and without an email, a personal access token, which can do no more \
             than the bearer's. Unless the bearer's is a login token, the new one is bound to it: it is \
             revoked with it, and ends no later. If the user has `max_tokens_per_user` live tokens, a \
             login revokes the login token that was used least recently, and a personal access token \
             is refused with 422.",
        )
        .reads_either::<Login, PersonalToken>()
        .answers::<Created>(201)
        .refuses(&[
            || Error::WrongCredentials.into(),
            || Error::InvalidToken.into(),
            || Error::InsufficientScope("tokens:write".to_owned()).into(),
            too_many_attempts,
            || Error::Internal(String::new()).into(),
            || Error::Busy.into(),
            || Error::Unavailable(String::new()).into(),
        ]);

pub(in crate::http) const LIST: Operation =
    Operation::new(TAG, "listTokens", "List your live tokens, newest first")
        .query(PAGING)
        .answers_page::<TokenBody>();

pub(in crate::http) const SHOW_CURRENT: Operation =
    Operation::new(TAG, "showCurrentToken", "Show the token that is sent")
        .answers_data::<TokenBody>(200);

pub(in crate::http) const REVOKE_CURRENT: Operation =
    Operation::new(TAG, "revokeCurrentToken", "Log out: revoke the token that is sent")
        .details("The tokens that are bound to it are revoked too.");

pub(in crate::http) const RENAME: Operation =
    Operation::new(TAG, "renameToken", "Rename a token of yours")
        .reads::<TokenName>()
        .answers_data::<TokenBody>(200);

pub(in crate::http) const REVOKE: Operation =
    Operation::new(TAG, "revokeToken", "Revoke a token of yours")
        .details("The tokens that are bound to it are revoked too.");

pub(in crate::http) const REVOKE_ALL: Operation = Operation::new(
    TAG,
    "revokeTokens",
    "Revoke all your tokens",
)
.details(
    "With `except=current` the token that is sent stays, unless it is bound to another token, which is \
     revoked.",
)
.query(&[Query::Word("except", "Keeps the token that is sent", "current")]);
