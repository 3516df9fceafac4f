//! The table `users`.

use diesel::prelude::*;

use super::emails::{count_of, note_owner, take};
use super::revocation::{count_unrevoked, revoke_all};
use super::rows::{UserRow, UserWithHash};
use super::schema::users;
use super::{ActingToken, Page, STEP, Store, StoreError};
use crate::domain::{Abilities, Email, Name, PasswordHash, Timestamp, User};

/// A user to be stored.
#[derive(Clone, Debug)]
pub struct UserRecord {
    /// The user's name.
    pub name: Name,
    /// The email that the user logs in with.
    pub email: Email,
    /// Whether the email may be one that is reserved for its last owner.
    pub reuse_email: bool,
    /// The hash of the user's password.
    pub password_hash: PasswordHash,
    /// The user's abilities.
    pub abilities: Abilities,
    /// Whether the user is an administrator.
    pub admin: bool,
}

/// Changes of a user. A field that is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// Another name.
    pub name: Option<Name>,
    /// Another email.
    pub email: Option<Email>,
    /// Other abilities.
    pub abilities: Option<Abilities>,
    /// Whether the user is an administrator.
    pub admin: Option<bool>,
    /// Whether the user is disabled, with all their tokens.
    pub disabled: Option<bool>,
    /// The hash of another password. It revokes the user's tokens, except `keep` if that is not bound.
    pub password_hash: Option<PasswordHash>,
    /// Whether the email may be one that is reserved for its last owner.
    pub reuse_email: bool,
    /// With a new email: the most emails that may be reserved for the user, this one included.
    pub most_emails: Option<i64>,
    /// The change is made only if the email is still this one.
    pub email_was: Option<Email>,
    /// The change is made only if the password's hash is still this one.
    pub verified: Option<PasswordHash>,
    /// The token that a change of the password doesn't revoke.
    pub keep: Option<i64>,
}

/// The outcome of a change.
#[derive(Debug)]
pub enum UserChanged {
    /// The user after the change, and how many tokens it revoked.
    Done(User, usize),
    /// There is no such user.
    NotFound,
    /// The password or the email is no longer the expected one.
    Stale,
    /// It would leave nobody who can administrate.
    LastAdmin,
}

/// Whether a user, with a token that has the ability `admin`, can administrate.
fn can_administrate(user: &User) -> bool {
    user.admin && user.disabled_at.is_none() && user.abilities.grant("admin")
}

/// Whether nobody but this user can administrate.
fn is_last_admin(connection: &mut SqliteConnection, id: i64) -> QueryResult<bool> {
    let others = users::table
        .filter(users::admin.eq(true))
        .filter(users::disabled_at.is_null())
        .filter(users::id.ne(id))
        .select(UserRow::as_select())
        .load::<UserRow>(connection)?;
    Ok(!others.into_iter().map(User::from).any(|user| can_administrate(&user)))
}

impl Store {
    /// The user with this id, and their password's hash.
    ///
    /// # Errors
    /// [`StoreError`], as from every read.
    pub async fn account(&self, id: i64) -> Result<Option<UserWithHash>, StoreError> {
        let row = self
            .read(move |c| {
                users::table
                    .find(id)
                    .select((UserRow::as_select(), users::password_hash))
                    .get_result::<(UserRow, String)>(c)
                    .optional()
            })
            .await?;
        Ok(row.map(UserWithHash::from))
    }

    /// A page of the users, by id, after the first `offset`.
    ///
    /// # Errors
    /// [`StoreError`], as from every read.
    pub async fn users_page(&self, offset: i64, limit: i64) -> Result<Page<User>, StoreError> {
        self.read_list(move |c| {
            // One transaction: the count and the rows are of one moment.
            c.transaction(|c| {
                let total = users::table.count().get_result(c)?;
                let rows = users::table
                    .select(UserRow::as_select())
                    .order(users::id)
                    .offset(offset)
                    .limit(limit)
                    .load::<UserRow>(c)?;
                Ok(Page { rows: rows.into_iter().map(User::from).collect(), total })
            })
        })
        .await
    }

    /// Changes a user. It takes effect for their tokens at once.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if another user has the email, [`StoreError::Reserved`] if one had it last,
    /// [`StoreError::TooManyEmails`], or any error of a write that a token requests.
    pub async fn change_user(
        &self,
        by: Option<ActingToken>,
        id: i64,
        change: UserChange,
        now: Timestamp,
    ) -> Result<UserChanged, StoreError> {
        self.write_by(by, move |c| {
            let row = users::table.find(id).select((UserRow::as_select(), users::password_hash));
            let row = row.get_result::<(UserRow, String)>(c).optional()?;
            let Some(UserWithHash { user, password_hash }) = row.map(UserWithHash::from) else {
                return Ok(UserChanged::NotFound);
            };
            if change.verified.is_some_and(|hash| hash.expose() != password_hash.expose()) {
                return Ok(UserChanged::Stale);
            }
            if change.email_was.is_some_and(|email| email != user.email) {
                return Ok(UserChanged::Stale);
            }
            if let Some(email) = change.email.as_ref().filter(|email| **email != user.email) {
                note_owner(c, &user.email, id)?;
                take(c, email, id, change.reuse_email)?;
                let owned = count_of(c, id)?;
                if change.most_emails.is_some_and(|most| owned > most) {
                    return Err(StoreError::TooManyEmails);
                }
            }
            let disabled_at = match change.disabled {
                Some(true) => user.disabled_at.or(Some(now)),
                Some(false) => None,
                None => user.disabled_at,
            };
            let admin = change.admin.unwrap_or(user.admin);
            let could = can_administrate(&user);
            let new_password = change.password_hash.is_some();
            let user = User {
                id,
                name: change.name.unwrap_or(user.name),
                email: change.email.unwrap_or(user.email),
                abilities: change.abilities.unwrap_or(user.abilities),
                admin,
                disabled_at,
                created_at: user.created_at,
                updated_at: now,
            };
            if could && !can_administrate(&user) && is_last_admin(c, id)? {
                return Ok(UserChanged::LastAdmin);
            }
            diesel::update(users::table.find(id))
                .set((
                    users::name.eq(user.name.as_str()),
                    users::email.eq(user.email.as_str()),
                    users::password_hash.eq(change
                        .password_hash
                        .as_ref()
                        .unwrap_or(&password_hash)
                        .expose()),
                    users::abilities.eq(user.abilities.as_scope()),
                    users::admin.eq(user.admin),
                    users::disabled_at.eq(user.disabled_at.map(Timestamp::as_unix)),
                    users::updated_at.eq(now.as_unix()),
                ))
                .execute(c)?;
            let revoked = match new_password {
                true => revoke_all(c, id, change.keep, now)?,
                false => 0,
            };
            Ok(UserChanged::Done(user, revoked))
        })
        .await
    }

    /// Deletes a user. None of their tokens passes from then on, and the next sweep deletes the rows. The emails
    /// that they had stay reserved.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token requests.
    pub async fn delete_user(
        &self,
        by: Option<ActingToken>,
        id: i64,
    ) -> Result<UserChanged, StoreError> {
        self.write_by(by, move |c| {
            let row = users::table.find(id).select(UserRow::as_select());
            let row = row.get_result::<UserRow>(c).optional()?;
            let Some(user) = row.map(User::from) else { return Ok(UserChanged::NotFound) };
            if can_administrate(&user) && is_last_admin(c, id)? {
                return Ok(UserChanged::LastAdmin);
            }
            note_owner(c, &user.email, id)?;
            let revoked = count_unrevoked(c, id)?;
            diesel::delete(users::table.find(id)).execute(c)?;
            Ok(UserChanged::Done(user, revoked))
        })
        .await
    }

    /// The users with ids above `after`, a thousand at most, by id.
    ///
    /// # Errors
    /// [`StoreError`], as from every read.
    pub async fn users_after(&self, after: i64) -> Result<Vec<User>, StoreError> {
        let query = users::table.filter(users::id.gt(after)).order(users::id).limit(STEP);
        let rows = self.read_list(move |c| query.select(UserRow::as_select()).load(c)).await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Stores a new user.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if another user has the email, [`StoreError::Reserved`] if one had it last,
    /// or any error of a write that a token requests.
    pub async fn insert_user(
        &self,
        by: Option<ActingToken>,
        user: UserRecord,
        now: Timestamp,
    ) -> Result<User, StoreError> {
        self.write_by(by, move |c| {
            let row = diesel::insert_into(users::table)
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
                .get_result::<UserRow>(c)?;
            let stored = User::from(row);
            take(c, &stored.email, stored.id, user.reuse_email)?;
            Ok(stored)
        })
        .await
    }

    /// Replaces a password's hash by `new`, if it is still `old`.
    ///
    /// # Errors
    /// [`StoreError`], as from every write.
    pub async fn replace_password_hash(
        &self,
        user_id: i64,
        old: PasswordHash,
        new: PasswordHash,
    ) -> Result<(), StoreError> {
        self.write(move |c| {
            diesel::update(users::table.find(user_id))
                .filter(users::password_hash.eq(old.expose()))
                .set(users::password_hash.eq(new.expose()))
                .execute(c)?;
            Ok(())
        })
        .await
    }
}
