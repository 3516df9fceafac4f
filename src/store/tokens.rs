//! The table `tokens`: how a token is looked up, inserted and renamed. It is looked up by the first eight bytes
//! of its digest, which have an index.

use diesel::define_sql_function;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use super::emails::by_email;
use super::rows::{TokenRow, UserRow, by_id, into_domain};
use super::schema::{tokens, users};
use super::sqlite::statements::statements;
use super::{ActingToken, Quota, Store, StoreError};
use crate::domain::{
    Abilities, Email, Grant, Name, PasswordHash, Timestamp, Token, TokenHash, TokenKind, Ungranted,
    User,
};

/// A token to be stored.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its name.
    pub name: Name,
    /// The digest of its string.
    pub hash: TokenHash,
    /// The abilities that are requested, if any are.
    pub abilities: Option<Abilities>,
    /// The time at which it is issued.
    pub created_at: Timestamp,
    /// The expiry that is requested, if any.
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

/// The outcome of an insertion.
#[derive(Debug)]
pub enum Insertion {
    /// It was stored.
    Done(Box<Stored>),
    /// There is no such user, or the login is no longer valid.
    NoOwner,
    /// The request exceeds what may be granted.
    Ungranted(Ungranted),
    /// The owner has this many live tokens, which is the quota.
    Full(u32),
}

impl Store {
    /// The token with this digest and its owner, live or not.
    ///
    /// # Errors
    /// [`StoreError`], as from every read.
    pub async fn token_by_hash(
        &self,
        hash: TokenHash,
    ) -> Result<Option<(Token, User)>, StoreError> {
        let row = self.read(move |c| {
            let digest = hash.as_bytes().as_slice();
            tokens::table
                .inner_join(users::table)
                .filter(tokens::digest_prefix.eq(&digest[..8]))
                .filter(tokens::digest.eq(digest))
                .select((TokenRow::as_select(), UserRow::as_select()))
                .get_result(c)
                .optional()
        });
        Ok(row.await?.map(into_domain))
    }

    /// The token with this id and its owner, live or not.
    ///
    /// # Errors
    /// [`StoreError`], as from every read.
    pub async fn token_by_id(&self, id: i64) -> Result<Option<(Token, User)>, StoreError> {
        self.read(move |c| by_id(c, id)).await
    }

    /// Gives the token with this id another name, if it belongs to `owner` and isn't revoked. Returns it as
    /// it is now.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token requests.
    pub async fn rename_token(
        &self,
        by: ActingToken,
        id: i64,
        owner: i64,
        name: Name,
    ) -> Result<Option<Token>, StoreError> {
        self.write_by(Some(by), move |c| {
            let found = by_id(c, id)?
                .filter(|(token, user)| user.id == owner && token.revoked_at.is_none());
            let Some((token, _)) = found else { return Ok(None) };
            let row = diesel::update(tokens::table.find(id));
            row.set(tokens::name.eq(name.as_str())).execute(c)?;
            Ok(Some(Token { name, ..token }))
        })
        .await
    }

    /// Records when tokens, by their ids, last passed a check.
    ///
    /// # Errors
    /// [`StoreError`], as from every write.
    pub async fn record_usage(&self, uses: Vec<(i64, Timestamp)>) -> Result<(), StoreError> {
        self.write(move |c| {
            for (id, at) in uses {
                RecordUse { at: at.as_unix(), id }.execute(c)?;
            }
            Ok(())
        })
        .await
    }

    /// Stores a token for the user with this id, if the user is enabled and the password's hash is still
    /// `verified`: the user may have been changed while the password was checked. The token gets the
    /// abilities that are requested, which the user must have, or else all.
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
        self.write(move |c| {
            let owner = users::table
                .find(user_id)
                .filter(users::password_hash.eq(verified.expose()))
                .filter(users::disabled_at.is_null())
                .select(UserRow::as_select())
                .get_result::<UserRow>(c);
            insert_for(c, owner.optional()?, Grant::to_login, token, quota)
        })
        .await
    }

    /// Stores a token for the user with this email. The token gets the abilities that are requested, which
    /// the user must have, or else all.
    ///
    /// # Errors
    /// [`StoreError`], as from every write.
    pub async fn insert_token_for_email(
        &self,
        email: Email,
        token: NewToken,
        quota: Quota,
    ) -> Result<Insertion, StoreError> {
        self.write(move |c| {
            let owner = by_email(c, &email)?;
            insert_for(c, owner.map(|(row, _)| row), Grant::by_operator, token, quota)
        })
        .await
    }

    /// Stores a token that another token issues, as [`Grant::by_token`] allows.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token requests.
    pub async fn insert_token_by_token(
        &self,
        issuer: ActingToken,
        token: NewToken,
        quota: Quota,
    ) -> Result<Insertion, StoreError> {
        self.write(move |c| {
            let (issuer, owner) = issuer.check(c)?;
            insert_within(c, &Grant::by_token(&issuer, &owner, quota.ttl), owner, token, quota)
        })
        .await
    }
}

statements! {
    RecordUse: "UPDATE tokens SET last_used_at = " [at: i64 as BigInt] " WHERE id = " [id: i64 as BigInt];
    Insert: "INSERT INTO tokens \
        (user_id, kind, parent_id, ages_from, name, digest, abilities, created_at, expires_at) VALUES ("
        [user_id: i64 as BigInt] "," [kind: &'static str as Text] ","
        [parent_id: Option<i64> as Nullable<BigInt>] ","
        [ages_from: Option<i64> as Nullable<BigInt>] "," [name: String as Text] ","
        [digest: [u8; 32] as Binary] "," [abilities: String as Text] ","
        [created_at: i64 as BigInt] "," [expires_at: Option<i64> as Nullable<BigInt>] ")";
}

define_sql_function! {
    /// The id of the row that this connection inserted last.
    fn last_insert_rowid() -> BigInt;
}

/// Stores a token for its owner, if there is one.
fn insert_for(
    c: &mut SqliteConnection,
    owner: Option<UserRow>,
    grant: fn(&User) -> Grant,
    token: NewToken,
    quota: Quota,
) -> Result<Insertion, StoreError> {
    let Some(owner) = owner.map(User::from) else { return Ok(Insertion::NoOwner) };
    insert_within(c, &grant(&owner), owner, token, quota)
}

/// Stores a token within its grant and the quota. If the quota is reached, a login revokes the owner's login
/// token that was used least recently. If the owner has no login token, the login exceeds the quota by one
/// token, so that a thief who fills the quota doesn't lock the owner out.
fn insert_within(
    c: &mut SqliteConnection,
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
    let revoked = match quota.reached(c, owner.id, created_at)? {
        None => 0,
        Some(_) if grant.kind() == TokenKind::Login => {
            quota.end_a_login(c, owner.id, created_at)?
        }
        Some(most) => return Ok(Insertion::Full(most)),
    };
    let mut token = Token {
        // SQLite assigns it.
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
    token.id = insert(c, owner.id, &token, hash)?;
    Ok(Insertion::Done(Box::new(Stored { token, owner, revoked })))
}

/// Inserts a row. Returns its id.
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
