//! Tokens added to the table `tokens`. Its trigger adds the heads of their digests to `token_heads`, which
//! has no row number of its own: the last one inserted is the token's.

use diesel::define_sql_function;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use super::emails::by_email;
use super::schema::users;
use super::statements::statements;
use super::users::UserRow;
use super::writer::Transaction;
use super::{Acting, Store, StoreError};
use crate::domain::{Abilities, Email, Name, PasswordHash, Timestamp, Token, TokenHash, User};

/// A token to be stored.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it is called.
    pub name: Name,
    /// The digest of its string.
    pub hash: TokenHash,
    /// What is asked that it may do, if anything is.
    pub abilities: Option<Abilities>,
    /// When it is issued.
    pub created_at: Timestamp,
    /// Its own bound, if any.
    pub expires_at: Option<Timestamp>,
}

/// What became of a token that was to be stored.
#[derive(Debug)]
pub enum Insertion {
    /// It was stored, for this owner.
    Done(Token, User),
    /// There is nobody to store it for: no such user, or one whose login no longer holds.
    NoOwner,
    /// These are asked for, and may not be given.
    Beyond(Abilities),
    /// Nothing is asked for, and all that may be given is more than a token can hold.
    TooMany,
}

impl Store {
    /// Stores a token for whoever has this id, if the password's hash is still `verified`: a
    /// password changed, or a user shut out, while a login was being checked, ends that login. What
    /// is asked for must be among what the user may do; everything is given if nothing is asked for.
    ///
    /// # Errors
    /// [`StoreError`], as from every write.
    pub async fn insert_token_for_login(
        &self,
        user_id: i64,
        verified: PasswordHash,
        token: NewToken,
    ) -> Result<Insertion, StoreError> {
        self.write(move |tx| {
            let owner = users::table
                .find(user_id)
                .filter(users::password_hash.eq(verified.expose()))
                .filter(users::disabled_at.is_null())
                .select(UserRow::as_select())
                .get_result::<UserRow>(tx.connection);
            insert_for(tx, owner.optional()?, token)
        })
        .await
    }

    /// Stores a token for the user with this email, if what is asked for is among what the user may
    /// do; everything is given if nothing is asked for.
    ///
    /// # Errors
    /// [`StoreError`], as from every write.
    pub async fn insert_token_for_email(
        &self,
        email: Email,
        token: NewToken,
    ) -> Result<Insertion, StoreError> {
        self.write(move |tx| {
            let owner = by_email(tx.connection, &email)?;
            insert_for(tx, owner.map(|(row, _)| row), token)
        })
        .await
    }

    /// Stores a token that another token issues, if that one may give away what is asked for; all
    /// that it may do, if nothing is.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token asks for.
    pub async fn insert_token_by_token(
        &self,
        issuer: Acting,
        token: NewToken,
    ) -> Result<Insertion, StoreError> {
        self.write(move |tx| {
            let (issuer, owner) = issuer.check(tx)?;
            let held = issuer.abilities.shared_with(&owner.abilities);
            insert_within(tx, owner, token, &held, held.clone())
        })
        .await
    }
}

statements! {
    Insert: "INSERT INTO tokens (user_id, name, digest, abilities, created_at, expires_at) VALUES ("
        [user_id: i64 as BigInt] "," [name: String as Text] "," [digest: [u8; 32] as Binary] ","
        [abilities: String as Text] "," [created_at: i64 as BigInt] ","
        [expires_at: Option<i64> as Nullable<BigInt>] ")";
}

define_sql_function! {
    /// The number of the row that this connection inserted last.
    fn last_insert_rowid() -> BigInt;
}

/// Stores a token for its owner, if there is one, and if they may do what is asked for.
fn insert_for(
    tx: &mut Transaction<'_>,
    owner: Option<UserRow>,
    token: NewToken,
) -> Result<Insertion, StoreError> {
    let Some(owner) = owner.map(User::from) else { return Ok(Insertion::NoOwner) };
    let held = owner.abilities.clone();
    insert_within(tx, owner, token, &held, Abilities::all())
}

/// Stores a token with what is asked for, if that is within what is `held`; with the `default`, if
/// nothing is.
fn insert_within(
    tx: &mut Transaction<'_>,
    owner: User,
    token: NewToken,
    held: &Abilities,
    default: Abilities,
) -> Result<Insertion, StoreError> {
    let abilities = match &token.abilities {
        Some(asked) => match held.lacking(asked) {
            none if none.is_empty() => asked.clone(),
            lacking => return Ok(Insertion::Beyond(lacking)),
        },
        // What two lists share may be longer than a list may be.
        None if default.iter().count() > Abilities::MOST => return Ok(Insertion::TooMany),
        None => default,
    };
    let token = insert(tx.connection, owner.id, token, abilities)?;
    Ok(Insertion::Done(token, owner))
}

fn insert(
    c: &mut SqliteConnection,
    user_id: i64,
    token: NewToken,
    abilities: Abilities,
) -> QueryResult<Token> {
    let insert = Insert {
        user_id,
        name: token.name.as_str().to_owned(),
        digest: *token.hash.as_bytes(),
        abilities: abilities.as_scope().to_owned(),
        created_at: token.created_at.as_unix(),
        expires_at: token.expires_at.map(Timestamp::as_unix),
    };
    insert.execute(c)?;
    let NewToken { name, created_at, expires_at, .. } = token;
    Ok(Token {
        // RETURNING would make a table of its own for its one row, and take longer than the insert.
        id: diesel::select(last_insert_rowid()).get_result(c)?,
        name,
        abilities,
        created_at,
        last_used_at: None,
        expires_at,
        revoked_at: None,
    })
}
