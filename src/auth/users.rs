use std::net::IpAddr;

use super::{Actor, Auth, AuthorizedToken, Error};
use crate::actors::Caller;
use crate::domain::{
    Abilities, Email, EmailChange, Name, Password, PasswordHash, User, ValidationErrors,
};
use crate::metrics::TokenEvent;
use crate::store::{Page, StoreError, UserChange, UserChanged, UserRecord, UserWithHash};

/// How often a change of one's own account is tried. The second try is for another change of the password or
/// the email that was committed between the first one's read and write.
const TRIES: u8 = 2;
/// The most emails that a user may have reserved, the new one included. It limits changes by users.
const MOST_EMAILS: i64 = 10;

/// A user to be created.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The user's name.
    pub name: Name,
    /// The email that the user logs in with.
    pub email: Email,
    /// The user's password.
    pub password: Password,
    /// The user's abilities.
    pub abilities: Abilities,
    /// Whether the user is an administrator.
    pub admin: bool,
}

/// Changes of a user. A field that is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct UserUpdate {
    /// Another name.
    pub name: Option<Name>,
    /// Another email.
    pub email: Option<Email>,
    /// Whether the email may be one that is reserved for its last owner.
    pub reuse_email: bool,
    /// Other abilities. They limit every token of the user at once.
    pub abilities: Option<Abilities>,
    /// Whether the user is an administrator.
    pub admin: Option<bool>,
    /// Whether the user is disabled, with all their tokens.
    pub disabled: Option<bool>,
    /// Another password. It revokes the user's tokens.
    pub password: Option<Password>,
}

impl Auth {
    /// Creates a user.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the email is taken or reserved; those of [`Actor`]; [`Error::Busy`] and the
    /// like.
    pub async fn create_user(&self, by: Actor<'_>, user: NewUser) -> Result<User, Error> {
        self.create(by, user, false).await
    }

    /// Creates a user, even with an email that is reserved for its last owner.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a user has the email; those of [`Actor`]; [`Error::Busy`] and the like.
    pub async fn create_user_reusing_email(
        &self,
        by: Actor<'_>,
        user: NewUser,
    ) -> Result<User, Error> {
        self.create(by, user, true).await
    }

    async fn create(&self, by: Actor<'_>, user: NewUser, reuse_email: bool) -> Result<User, Error> {
        let NewUser { name, email, password, abilities, admin } = user;
        let password_hash = self.0.hasher.hash(Caller::Administration, password).await?;
        let user = UserRecord { name, email, reuse_email, password_hash, abilities, admin };
        let stored = self.0.store.insert_user(self.acting_token_of(by), user, self.now());
        stored.await.map_err(explain_email_refusal)
    }

    /// The users with ids above `after`, a thousand at most, in the order of their ids. To list all, ask
    /// again with the last id until there are no more.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn users_after(&self, after: i64) -> Result<Vec<User>, Error> {
        Ok(self.0.store.users_after(after).await?)
    }

    /// A page of the users, oldest first: `page` counts from 1.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn users_page(&self, page: i64, per_page: i64) -> Result<Page<User>, Error> {
        let offset = (page - 1).saturating_mul(per_page);
        Ok(self.0.store.users_page(offset, per_page).await?)
    }

    /// The user with this id.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Busy`] and the like.
    pub async fn user(&self, id: i64) -> Result<User, Error> {
        Ok(self.0.store.account(id).await?.ok_or(Error::NotFound("user"))?.user)
    }

    /// The user with this email.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Busy`] and the like.
    pub async fn user_by_email(&self, email: &Email) -> Result<User, Error> {
        Ok(self.0.store.account_by_email(email).await?.ok_or(Error::NotFound("user"))?.user)
    }

    /// Changes a user. Returns the user and how many tokens were revoked. A new password revokes the user's
    /// tokens. Users change their own password and email by [`Auth::change_own_password`] and [`Auth::update_own`], which require the
    /// current password, so that a leaked administrator's token can't take over the account.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] if it is the bearer's own password or email, the email is
    /// taken or reserved, or nobody would be left who can administrate; those of [`Actor`]; [`Error::Busy`]
    /// and the like.
    pub async fn update_user(
        &self,
        by: Actor<'_>,
        id: i64,
        update: UserUpdate,
    ) -> Result<(User, usize), Error> {
        if let Actor::Token(bearer) = by
            && bearer.user.id == id
        {
            refuse_own_credentials(&update)?;
        }
        let UserUpdate { name, email, reuse_email, abilities, admin, disabled, password } = update;
        let password_hash = match password {
            Some(password) => Some(self.0.hasher.hash(Caller::Administration, password).await?),
            None => None,
        };
        let change = UserChange {
            name,
            email,
            reuse_email,
            abilities,
            admin,
            disabled,
            password_hash,
            ..UserChange::default()
        };
        self.change(by, id, change).await?.ok_or(Error::NotFound("user"))
    }

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

    /// Deletes a user. Their tokens stop passing at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] if nobody would be left who can administrate;
    /// those of [`Actor`]; [`Error::Busy`] and the like.
    pub async fn delete_user(&self, by: Actor<'_>, id: i64) -> Result<(), Error> {
        self.finish_change(self.0.store.delete_user(self.acting_token_of(by), id).await?).map(drop)
    }

    /// Changes a user. Returns the user and how many tokens were revoked, or `None` if the password or the email
    /// that the change was checked against has changed.
    async fn change(
        &self,
        by: Actor<'_>,
        id: i64,
        change: UserChange,
    ) -> Result<Option<(User, usize)>, Error> {
        match self.0.store.change_user(self.acting_token_of(by), id, change, self.now()).await {
            Err(error) => Err(explain_email_refusal(error)),
            Ok(outcome) => self.finish_change(outcome),
        }
    }

    fn finish_change(&self, outcome: UserChanged) -> Result<Option<(User, usize)>, Error> {
        match outcome {
            UserChanged::Done(user, revoked) => {
                self.0.metrics.count_token_events(TokenEvent::Revoked, revoked);
                Ok(Some((user, revoked)))
            }
            UserChanged::Stale => Ok(None),
            UserChanged::NotFound => Err(Error::NotFound("user")),
            UserChanged::LastAdmin => {
                let text = "The last enabled administrator can't be removed, disabled or demoted.";
                Err(Error::Invalid(ValidationErrors::one("admin", text)))
            }
        }
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

/// Refuses the changes that need the current password.
fn refuse_own_credentials(update: &UserUpdate) -> Result<(), Error> {
    let mut errors = ValidationErrors::new();
    if update.email.is_some() {
        let text =
            "The email field must not be sent for your own account: change it by PUT /api/user.";
        errors.add("email", text);
    }
    if update.password.is_some() {
        let text = "The password field must not be sent for your own account: change it by \
            PUT /api/user/password.";
        errors.add("password", text);
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Error::Invalid(errors)),
    }
}

/// The error for an email that the user can't have, or for another error of the store.
fn explain_email_refusal(error: StoreError) -> Error {
    let text = match error {
        StoreError::Taken => "The email has already been taken.",
        StoreError::Reserved => {
            "The email is reserved for its last owner. An administrator can let another user have it, \
             with reuse_email."
        }
        StoreError::TooManyEmails => {
            "You have had as many emails as you may choose. An administrator can set another one."
        }
        other => return other.into(),
    };
    Error::Invalid(ValidationErrors::one("email", text))
}
