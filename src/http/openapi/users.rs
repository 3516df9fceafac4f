//! The operations of administrators.

use super::operation::Operation;
use super::tokens::PAGING;
use crate::auth::Error;
use crate::domain::ValidationErrors;
use crate::http::api::tokens::TokenBody;
use crate::http::api::users::{ManagedUser, NewUser, UserChange};

pub(super) const TAG: &str = "users";

pub(in crate::http) const LIST: Operation =
    Operation::new(TAG, "listUsers", "List the users, oldest first")
        .query(PAGING)
        .answers_page::<ManagedUser>();

pub(in crate::http) const CREATE: Operation = Operation::new(TAG, "createUser", "Create a user")
    .reads::<NewUser>()
    .answers_data::<ManagedUser>(201);

pub(in crate::http) const SHOW: Operation =
    Operation::new(TAG, "showUser", "Show a user").answers_data::<ManagedUser>(200);

pub(in crate::http) const UPDATE: Operation = Operation::new(TAG, "updateUser", "Change a user")
    .details(
        "The last enabled administrator can't be disabled or demoted. While a user is disabled, none of \
         their tokens passes; once the user is enabled, those that have not ended pass again. Your own \
         email and password are refused here: change them by `PUT /api/user` and \
         `PUT /api/user/password`, which take the current password.",
    )
    .reads::<UserChange>()
    .answers_data::<ManagedUser>(200);

pub(in crate::http) const DELETE: Operation =
    Operation::new(TAG, "deleteUser", "Delete a user and all their tokens")
        .details("The last enabled administrator can't be deleted.")
        .refuses(&[|| {
            let text = "The last enabled administrator can't be removed, disabled or demoted.";
            Error::Invalid(ValidationErrors::one("admin", text)).into()
        }]);

pub(in crate::http) const LIST_TOKENS: Operation =
    Operation::new(TAG, "listUserTokens", "List a user's live tokens, newest first")
        .query(PAGING)
        .answers_page::<TokenBody>();

pub(in crate::http) const REVOKE_TOKENS: Operation =
    Operation::new(TAG, "revokeUserTokens", "Revoke all tokens of a user");

pub(in crate::http) const REVOKE_TOKEN: Operation =
    Operation::new(TAG, "revokeUserToken", "Revoke a token of a user");
