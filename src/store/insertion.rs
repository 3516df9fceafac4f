//! Tokens added to the table `tokens`. Its trigger adds the heads of their digests to `token_heads`, which
//! has no row number of its own: the last one inserted is the token's.

use diesel::define_sql_function;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use super::emails::by_email;
use super::schema::users;
use super::sqlite::statements::statements;
use super::sqlite::writer::Transaction;
use super::users::UserRow;
use super::{ActingToken, Quota, Store, StoreError};
use crate::domain::{
    Abilities, Email, Grant, Name, PasswordHash, Timestamp, Token, TokenHash, TokenKind, Ungranted,
    User,
};

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
    /// The bound that is asked for, if any.
    pub expires_at: Option<Timestamp>,
}

/// A token that was stored.
#[derive(Debug)]
pub struct Stored {
    /// The token.
    pub token: Token,
    /// Its owner.
    pub owner: User,
    /// How many of the owner's tokens were revoked to make room for it.
    pub revoked: usize,
}

/// What became of a token that was to be stored.
#[derive(Debug)]
pub enum Insertion {
    /// It was stored.
    Done(Box<Stored>),
    /// There is nobody to store it for: no such user, or one whose login no longer holds.
    NoOwner,
    /// It may not be given as it was asked for.
    Ungranted(Ungranted),
    /// The owner has this many live tokens, which is the quota.
    Full(u32),
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
        quota: Quota,
    ) -> Result<Insertion, StoreError> {
        self.write(move |tx| {
            let owner = users::table
                .find(user_id)
                .filter(users::password_hash.eq(verified.expose()))
                .filter(users::disabled_at.is_null())
                .select(UserRow::as_select())
                .get_result::<UserRow>(tx.connection);
            insert_for(tx, owner.optional()?, Grant::to_login, token, quota)
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
        quota: Quota,
    ) -> Result<Insertion, StoreError> {
        self.write(move |tx| {
            let owner = by_email(tx.connection, &email)?;
            insert_for(tx, owner.map(|(row, _)| row), Grant::by_operator, token, quota)
        })
        .await
    }

    /// Stores a token that another token issues, as [`Grant::by_token`] allows.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token asks for.
    pub async fn insert_token_by_token(
        &self,
        issuer: ActingToken,
        token: NewToken,
        quota: Quota,
    ) -> Result<Insertion, StoreError> {
        self.write(move |tx| {
            let (issuer, owner) = issuer.check(tx)?;
            insert_within(tx, &Grant::by_token(&issuer, &owner, quota.ttl), owner, token, quota)
        })
        .await
    }
}

statements! {
    Insert: "INSERT INTO tokens \
        (user_id, kind, parent_id, ages_from, name, digest, abilities, created_at, expires_at) VALUES ("
        [user_id: i64 as BigInt] "," [kind: &'static str as Text] ","
        [parent_id: Option<i64> as Nullable<BigInt>] ","
        [ages_from: Option<i64> as Nullable<BigInt>] "," [name: String as Text] ","
        [digest: [u8; 32] as Binary] "," [abilities: String as Text] ","
        [created_at: i64 as BigInt] "," [expires_at: Option<i64> as Nullable<BigInt>] ")";
}

define_sql_function! {
    /// The number of the row that this connection inserted last.
    fn last_insert_rowid() -> BigInt;
}

/// Stores a token for its owner, if there is one, and if they may be given it.
fn insert_for(
    tx: &mut Transaction<'_>,
    owner: Option<UserRow>,
    grant: fn(&User) -> Grant,
    token: NewToken,
    quota: Quota,
) -> Result<Insertion, StoreError> {
    let Some(owner) = owner.map(User::from) else { return Ok(Insertion::NoOwner) };
    insert_within(tx, &grant(&owner), owner, token, quota)
}

/// Stores a token, if it may be given and the quota has room. A login makes room: it revokes the owner's
/// login token that was used least recently. If there is none, it exceeds the quota by one token, so that a
/// thief who fills the quota doesn't lock the owner out.
fn insert_within(
    tx: &mut Transaction<'_>,
    grant: &Grant,
    owner: User,
    token: NewToken,
    quota: Quota,
) -> Result<Insertion, StoreError> {
    let NewToken { name, hash, abilities, created_at, expires_at } = token;
    let bounds = grant.abilities(abilities).and_then(|abilities| {
        let expires_at = grant.expires_at(expires_at)?;
        Ok((abilities, expires_at))
    });
    let (abilities, expires_at) = match bounds {
        Ok(bounds) => bounds,
        Err(ungranted) => return Ok(Insertion::Ungranted(ungranted)),
    };
    let revoked = match quota.reached(tx.connection, owner.id, created_at)? {
        None => 0,
        Some(_) if grant.kind() == TokenKind::Login => {
            quota.end_a_login(tx, owner.id, created_at)?
        }
        Some(most) => return Ok(Insertion::Full(most)),
    };
    let mut token = Token {
        // SQLite gives it.
        id: 0,
        kind: grant.kind(),
        bond: grant.bond().map(Box::new),
        name,
        abilities,
        created_at,
        last_used_at: None,
        expires_at,
        revoked_at: None,
    };
    token.id = insert(tx.connection, owner.id, &token, hash)?;
    Ok(Insertion::Done(Box::new(Stored { token, owner, revoked })))
}

/// Inserts a row, and gives its number.
fn insert(
    c: &mut SqliteConnection,
    user_id: i64,
    token: &Token,
    hash: TokenHash,
) -> QueryResult<i64> {
    let insert = Insert {
        user_id,
        kind: token.kind.as_str(),
        parent_id: token.parent_id(),
        ages_from: token.bond.as_deref().map(|bond| bond.ages_from.as_unix()),
        name: token.name.as_str().to_owned(),
        digest: *hash.as_bytes(),
        abilities: token.abilities.as_scope().to_owned(),
        created_at: token.created_at.as_unix(),
        expires_at: token.expires_at.map(Timestamp::as_unix),
    };
    insert.execute(c)?;
    // RETURNING would make a table of its own for its one row, and take longer than the insert.
    diesel::select(last_insert_rowid()).get_result(c)
}
