//! The table `email_owners`: to which user an email belongs, and how a user is found by an email. An email
//! that a user gives up stays reserved for that user.

use diesel::define_sql_function;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::rows::UserRow;
use super::schema::{email_owners, users};
use super::{Store, StoreError, UserWithHash};
use crate::domain::Email;

define_sql_function! {
    /// An email's key.
    fn email_key(email: Text) -> Text;
}

/// Defines the SQL function that a migration computes emails' keys by.
pub(super) fn define_email_key(connection: &mut SqliteConnection) -> QueryResult<()> {
    email_key_utils::register_impl(connection, |email: String| Email::from_stored(email).key())
}

/// The row of the user with this email. An account with exactly this spelling takes precedence over one
/// with another: databases from before emails had keys may hold both.
pub(super) fn by_email(
    connection: &mut SqliteConnection,
    email: &Email,
) -> QueryResult<Option<(UserRow, String)>> {
    let key = email.key();
    let owner = email_owners::table.find(&key).select(email_owners::user_id.nullable());
    let is_it = users::email.eq(email.as_str()).or(users::id.nullable().eq(owner.single_value()));
    let mut rows = users::table
        .filter(is_it)
        .select((UserRow::as_select(), users::password_hash))
        .load::<(UserRow, String)>(connection)?;
    let spelled = |(row, _): &(UserRow, _)| row.email.eq_ignore_ascii_case(email.as_str());
    // The owner of the key may have another email by now.
    let keyed = |(row, _): &(UserRow, _)| Email::from_stored(row.email.clone()).key() == key;
    let found = rows.iter().position(spelled).or_else(|| rows.iter().position(keyed));
    Ok(found.map(|at| rows.swap_remove(at)))
}

/// Makes a user the owner of an email that has no owner. Another program may have inserted the user.
pub(super) fn note_owner(
    connection: &mut SqliteConnection,
    email: &Email,
    user_id: i64,
) -> QueryResult<()> {
    let row = (email_owners::email.eq(email.key()), email_owners::user_id.eq(user_id));
    diesel::insert_or_ignore_into(email_owners::table).values(row).execute(connection).map(drop)
}

/// Makes a user the owner of an email, unless another user is. With `reuse`, an email that is reserved for
/// its last owner passes to the user.
///
/// # Errors
/// [`StoreError::Taken`] if another user has the email; [`StoreError::Reserved`] if one had it last.
pub(super) fn take(
    connection: &mut SqliteConnection,
    email: &Email,
    user_id: i64,
    reuse: bool,
) -> Result<(), StoreError> {
    let key = email.key();
    let owner = email_owners::table
        .find(&key)
        .select(email_owners::user_id)
        .get_result::<i64>(connection)
        .optional()?;
    match owner {
        None => note_owner(connection, email, user_id)?,
        Some(owner) if owner == user_id => {}
        Some(owner) => {
            let present = users::table.find(owner).select(users::email);
            let present = present.get_result::<String>(connection).optional()?;
            if present.is_some_and(|present| Email::from_stored(present).key() == key) {
                return Err(StoreError::Taken);
            }
            if !reuse {
                return Err(StoreError::Reserved);
            }
            diesel::update(email_owners::table.find(&key))
                .set(email_owners::user_id.eq(user_id))
                .execute(connection)?;
        }
    }
    Ok(())
}

/// How many emails belong to a user or are reserved for the user.
pub(super) fn count_of(connection: &mut SqliteConnection, user_id: i64) -> QueryResult<i64> {
    let owned = email_owners::table.filter(email_owners::user_id.eq(user_id));
    owned.count().get_result(connection)
}

impl Store {
    /// The user with this email, in any spelling, and their password's hash.
    ///
    /// # Errors
    /// [`StoreError`], as from every read.
    pub async fn account_by_email(
        &self,
        email: &Email,
    ) -> Result<Option<UserWithHash>, StoreError> {
        let email = email.clone();
        Ok(self.read(move |c| by_email(c, &email)).await?.map(UserWithHash::from))
    }
}
