//! The operations on one's own account.

use super::answers::too_many_attempts;
use super::operation::Operation;
use crate::auth::Error;
use crate::http::api::user::{Account, PasswordChange, UserBody};

pub(super) const TAG: &str = "account";

pub(in crate::http) const SHOW: Operation =
    Operation::new(TAG, "showAccount", "Show whose token it is").answers_data::<UserBody>(200);

pub(in crate::http) const UPDATE: Operation =
    Operation::new(TAG, "updateAccount", "Change your name and email")
        .details(
            "Send the present email to keep it. Another one, or another spelling of it, needs the \
             password, and an administrator or the setting `email_change = \"self\"`; an email that \
             another user has given up is reserved for that user.",
        )
        .reads::<Account>()
        .answers_data::<UserBody>(200)
        .refuses(&[
            too_many_attempts,
            || Error::EmailChangeDisabled.into(),
            || Error::Conflict.into(),
        ]);

pub(in crate::http) const CHANGE_PASSWORD: Operation =
    Operation::new(TAG, "changePassword", "Change your password")
        .details("Revokes all your tokens but the one that is sent.")
        .reads::<PasswordChange>()
        .refuses(&[too_many_attempts, || Error::Conflict.into()]);
