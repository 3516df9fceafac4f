//! Changes that users make to their own account.

use std::net::IpAddr;

use super::{Actor, Auth, AuthorizedToken, Error};
use crate::actors::Caller;
use crate::domain::{Email, EmailChange, Name, Password, PasswordHash, User, ValidationErrors};
use crate::store::{UserChange, UserWithHash};

/// How often a change of one's own account is tried. The second try is for another change of the password or
/// the email that was committed between the first one's read and write.
const TRIES: u8 = 2;
/// The most emails that a user may have reserved, the new one included. It limits changes by users.
const MOST_EMAILS: i64 = 10;

impl Auth {
    /// Changes the token owner's name and email. Another email, or another spelling of it, requires the current
    /// password, and an administrator or `email_change = "self"`. Attempts with the password are limited like
    /// logins from the address `from`.
    ///
    /// # Errors
    /// [`Error::EmailChangeDisabled`]; [`Error::Invalid`] if the email is taken or reserved, or the
    /// password missing or wrong; [`Error::TooManyAttempts`]; [`Error::Conflict`]; those of [`Actor`]; [`Error::Busy`] and the like.
    pub async fn update_own(
        &self,
        bearer: &AuthorizedToken,
        name: Name,
        email: Email,
        current_password: Option<Password>,
        from: IpAddr,
    ) -> Result<User, Error> {
        let read = async || self.own_account(bearer).await;
        self.update_own_by(bearer, name, email, current_password, from, read).await
    }

    /// [`Self::update_own`], with the read that a test replaces.
    pub(super) async fn update_own_by(
        &self,
        bearer: &AuthorizedToken,
        name: Name,
        email: Email,
        current_password: Option<Password>,
        from: IpAddr,
        read: impl AsyncFn() -> Result<UserWithHash, Error>,
    ) -> Result<User, Error> {
        let mut matched = None;
        for _ in 0..TRIES {
            // The session may be older than the row, which decides whether the password is needed.
            let account = read().await?;
            let email_was = Some(account.user.email.clone());
            let is_new = email != account.user.email;
            // Administrators may: the only one couldn't ask another.
            let may_change = account.user.admin || self.0.email_change == EmailChange::Owner;
            if is_new && !may_change {
                return Err(Error::EmailChangeDisabled);
            }
            let verified = match (is_new, &current_password) {
                (false, _) => None,
                (true, Some(password)) => {
                    Some(self.verify_own_password(account, password, &mut matched, from).await?)
                }
                (true, None) => {
                    let text = "The current password field is required for a new email.";
                    return Err(Error::Invalid(ValidationErrors::one("current_password", text)));
                }
            };
            let (name, email) = (Some(name.clone()), Some(email.clone()));
            let most_emails = Some(MOST_EMAILS);
            let change = UserChange {
                name,
                email,
                most_emails,
                email_was,
                verified,
                ..UserChange::default()
            };
            let changed = self.change(Actor::Token(bearer), bearer.user.id, change).await?;
            if let Some((user, _)) = changed {
                return Ok(user);
            }
        }
        Err(Error::Conflict)
    }

    /// Changes the token owner's password, and revokes all their tokens except this one. If this one is bound to
    /// another, it is revoked too. Attempts are limited like logins from the address `from`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the current password is wrong; [`Error::TooManyAttempts`]; [`Error::Conflict`];
    /// those of [`Actor`]; [`Error::Busy`] and the like.
    pub async fn change_own_password(
        &self,
        bearer: &AuthorizedToken,
        current: Password,
        new: Password,
        from: IpAddr,
    ) -> Result<(), Error> {
        let (mut password_hash, mut matched) = (None, None);
        for _ in 0..TRIES {
            let account = self.own_account(bearer).await?;
            let verified =
                Some(self.verify_own_password(account, &current, &mut matched, from).await?);
            if password_hash.is_none() {
                password_hash =
                    Some(self.0.hasher.hash(Caller::Network(from.into()), new.clone()).await?);
            }
            let (password_hash, keep) = (password_hash.clone(), Some(bearer.token.id));
            let change = UserChange { password_hash, verified, keep, ..UserChange::default() };
            if self.change(Actor::Token(bearer), bearer.user.id, change).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::Conflict)
    }

    /// The token's owner, as stored now.
    pub(super) async fn own_account(
        &self,
        bearer: &AuthorizedToken,
    ) -> Result<UserWithHash, Error> {
        self.0.store.account(bearer.user.id).await?.ok_or(Error::InvalidToken)
    }

    /// Returns the hash of an account's password, if `password` matches it, and stores it in `matched` for a second
    /// try. Attempts are limited like logins, so that a token doesn't allow faster guessing.
    async fn verify_own_password(
        &self,
        account: UserWithHash,
        password: &Password,
        matched: &mut Option<PasswordHash>,
        from: IpAddr,
    ) -> Result<PasswordHash, Error> {
        let UserWithHash { user, password_hash } = account;
        if matched.as_ref().is_some_and(|matched| matched.expose() == password_hash.expose()) {
            return Ok(password_hash);
        }
        let network = from.into();
        let attempt = async |caller| {
            if self.is_password(caller, password, Some(&password_hash), matched.as_ref()).await? {
                return Ok(());
            }
            let text = "The current password field is incorrect.";
            Err(Error::Invalid(ValidationErrors::one("current_password", text)))
        };
        self.limit_attempts(&user.email, network, attempt).await?;
        *matched = Some(password_hash.clone());
        Ok(password_hash)
    }
}
