//! The table `users`.

use diesel::prelude::*;

use super::schema::users;
use super::{Store, StoreError};
use crate::domain::{Abilities, Email, Name, PasswordHash, Timestamp, User};

/// A user to be stored.
#[derive(Clone, Debug)]
pub struct UserRecord {
    /// What the user is called.
    pub name: Name,
    /// What the user logs in with.
    pub email: Email,
    /// The hash of the user's password.
    pub password_hash: PasswordHash,
    /// What the user may do.
    pub abilities: Abilities,
    /// Whether the user may administrate.
    pub admin: bool,
}

/// A user and the hash that a login is checked against.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user.
    pub user: User,
    /// The hash of the user's password.
    pub password_hash: PasswordHash,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub(super) struct UserRow {
    id: i64,
    name: String,
    email: String,
    abilities: String,
    admin: bool,
    disabled_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            name: Name::from_stored(row.name),
            email: Email::from_stored(row.email),
            abilities: Abilities::from_stored(row.abilities),
            admin: row.admin,
            disabled_at: row.disabled_at.map(Timestamp::from_unix),
            created_at: Timestamp::from_unix(row.created_at),
            updated_at: Timestamp::from_unix(row.updated_at),
        }
    }
}

impl Store {
    /// The user with this email, and their password's hash.
    ///
    /// # Errors
    /// [`StoreError`], as from every question.
    pub async fn account_by_email(&self, email: &Email) -> Result<Option<Account>, StoreError> {
        let email = email.as_str().to_owned();
        let row = self
            .read(move |c| {
                users::table
                    .filter(users::email.eq(email))
                    .select((UserRow::as_select(), users::password_hash))
                    .get_result::<(UserRow, String)>(c)
                    .optional()
            })
            .await?;
        Ok(row.map(|(user, hash)| Account {
            user: user.into(),
            password_hash: PasswordHash::new(hash),
        }))
    }

    /// Every user, by number.
    ///
    /// # Errors
    /// [`StoreError`], as from every question.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let rows = self
            .read(|c| users::table.select(UserRow::as_select()).order(users::id).load(c))
            .await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Stores a new user.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if another user has the email, or what every write may fail with.
    pub async fn insert_user(&self, user: UserRecord, now: Timestamp) -> Result<User, StoreError> {
        self.write(move |tx| {
            diesel::insert_into(users::table)
                .values((
                    users::name.eq(user.name.as_str()),
                    users::email.eq(user.email.as_str()),
                    users::password_hash.eq(user.password_hash.expose()),
                    users::abilities.eq(user.abilities.as_scope()),
                    users::admin.eq(user.admin),
                    users::created_at.eq(now.as_unix()),
                    users::updated_at.eq(now.as_unix()),
                ))
                .returning(UserRow::as_returning())
                .get_result::<UserRow>(tx.connection)
                .map(User::from)
        })
        .await
    }

    /// Puts `new` in the place of a password's hash, unless that is no longer `old`.
    ///
    /// # Errors
    /// [`StoreError`], as from every write.
    pub async fn replace_password_hash(
        &self,
        user_id: i64,
        old: PasswordHash,
        new: PasswordHash,
    ) -> Result<(), StoreError> {
        self.write(move |tx| {
            diesel::update(users::table.find(user_id))
                .filter(users::password_hash.eq(old.expose()))
                .set(users::password_hash.eq(new.expose()))
                .execute(tx.connection)
                .map(drop)
        })
        .await
    }
}
