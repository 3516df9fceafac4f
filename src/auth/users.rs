use super::{Auth, Error};
use crate::domain::{Abilities, Email, Faults, Name, Password, User};
use crate::store::{StoreError, UserRecord};

/// A user to be created.
#[derive(Clone, Debug)]
pub struct NewUser {
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
    /// Creates a user.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the email is taken; [`Error::Busy`] and the like.
    pub async fn create_user(&self, user: NewUser) -> Result<User, Error> {
        let NewUser { name, email, password, abilities, admin } = user;
        let password_hash = self.0.hasher.hash(password).await?;
        let user = UserRecord { name, email, password_hash, abilities, admin };
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
}
