use std::time::Duration;

use super::{Auth, Error};
use crate::domain::{Abilities, Email, Faults, Name, Password, Token, User};
use crate::store::{NewUser, Page, Purge, Purged, StoreError};

/// A user to be created.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// What the user is called.
    pub name: Name,
    /// What the user logs in with.
    pub email: Email,
    /// The user's password.
    pub password: Password,
    /// What the user may do.
    pub abilities: Abilities,
    /// Whether the user may administrate.
    pub admin: bool,
}

impl Auth {
    /// Whether requests can be answered.
    ///
    /// # Errors
    /// [`Error`] if the store can't answer within a second.
    pub async fn ready(&self) -> Result<(), Error> {
        Ok(self.0.store.ping().await?)
    }

    /// Creates a user.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the email is taken; [`Error::Busy`] and the like.
    pub async fn create_user(&self, account: NewAccount) -> Result<User, Error> {
        let NewAccount { name, email, password, abilities, admin } = account;
        let password_hash = self.0.hasher.hash(password).await?;
        let user = NewUser { name, email, password_hash, abilities, admin };
        match self.0.store.insert_user(user, self.now()).await {
            Err(StoreError::Taken) => {
                let text = "The email has already been taken.";
                Err(Error::Invalid(Faults::one("email", text)))
            }
            other => Ok(other?),
        }
    }

    /// Every user.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn users(&self) -> Result<Vec<User>, Error> {
        Ok(self.0.store.users().await?)
    }

    /// A page of a user's live tokens, newest first: `page` counts from 1.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn tokens_of(
        &self,
        user_id: i64,
        page: i64,
        per_page: i64,
    ) -> Result<Page<Token>, Error> {
        let offset = (page - 1).saturating_mul(per_page);
        let (ttl, now) = (self.0.ttl, self.now());
        Ok(self.0.store.live_tokens_of(user_id, ttl, now, offset, per_page).await?)
    }

    /// Every token with its owner, dead ones that are not purged yet included; those of one user,
    /// if an email is given.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn all_tokens(&self, email: Option<Email>) -> Result<Vec<(Token, User)>, Error> {
        Ok(self.0.store.all_tokens(email).await?)
    }

    /// Revokes one token, for its owner; for anybody, if `owner` is `None`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, it is revoked already, or it is somebody else's;
    /// [`Error::Busy`] and the like.
    pub async fn revoke(&self, token_id: i64, owner: Option<i64>) -> Result<(), Error> {
        match self.0.store.revoke_token(token_id, owner, self.now()).await? {
            0 => Err(Error::NotFound("token")),
            _ => Ok(()),
        }
    }

    /// Revokes a user's tokens, all but `except`.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn revoke_all(&self, owner: i64, except: Option<i64>) -> Result<(), Error> {
        self.0.store.revoke_tokens_of(owner, except, self.now()).await?;
        Ok(())
    }

    /// Removes the tokens that have been dead for `retain` or longer; for as long as the setting
    /// says, if none is given.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like; what was removed until then stays removed.
    pub async fn prune(&self, retain: Option<Duration>) -> Result<Purged, Error> {
        let retain = retain.unwrap_or(self.0.retain);
        Ok(self.0.store.purge(Purge::of(retain, self.0.ttl, self.now())).await?)
    }
}
