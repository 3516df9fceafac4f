use super::{Actor, Auth, Error};
use crate::actors::Caller;
use crate::domain::{Abilities, Email, Name, Password, User, ValidationErrors};
use crate::metrics::TokenEvent;
use crate::store::{Page, StoreError, UserChange, UserChanged, UserRecord};

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
    pub(super) async fn change(
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
