//! The table `tokens`.

use diesel::define_sql_function;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::schema::{tokens, users};
use super::users::UserRow;
use super::writer::Transaction;
use super::{Acting, Store, StoreError};
use crate::domain::{
    Abilities, Email, Lifetime, Name, PasswordHash, Timestamp, Token, TokenHash, User,
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

/// A part of a longer list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The part's rows.
    pub rows: Vec<T>,
    /// How many rows the whole list has.
    pub total: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = tokens)]
struct TokenRow {
    id: i64,
    name: String,
    abilities: String,
    created_at: i64,
    last_used_at: Option<i64>,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        Self {
            id: row.id,
            name: Name::from_stored(row.name),
            abilities: Abilities::from_stored(row.abilities),
            created_at: Timestamp::from_unix(row.created_at),
            last_used_at: row.last_used_at.map(Timestamp::from_unix),
            expires_at: row.expires_at.map(Timestamp::from_unix),
            revoked_at: row.revoked_at.map(Timestamp::from_unix),
        }
    }
}

type Rows = (TokenRow, UserRow);

fn into_domain((token, owner): Rows) -> (Token, User) {
    (token.into(), owner.into())
}

/// The token with this id, and its owner.
pub(super) fn row_by_id(connection: &mut SqliteConnection, id: i64) -> QueryResult<(Token, User)> {
    let row = tokens::table.inner_join(users::table).filter(tokens::id.eq(id));
    let row = row.select((TokenRow::as_select(), UserRow::as_select()));
    row.get_result::<Rows>(connection).map(into_domain)
}

impl Store {
    /// The token with this digest and its owner, live or not.
    ///
    /// # Errors
    /// [`StoreError`], as from every question.
    pub async fn token_by_hash(
        &self,
        hash: TokenHash,
    ) -> Result<Option<(Token, User)>, StoreError> {
        let row = self
            .read(move |c| {
                tokens::table
                    .inner_join(users::table)
                    .filter(tokens::digest.eq(hash.as_bytes().as_slice()))
                    .select((TokenRow::as_select(), UserRow::as_select()))
                    .get_result::<Rows>(c)
                    .optional()
            })
            .await?;
        Ok(row.map(into_domain))
    }

    /// The token with this id and its owner, live or not.
    ///
    /// # Errors
    /// [`StoreError`], as from every question.
    pub async fn token_by_id(&self, id: i64) -> Result<Option<(Token, User)>, StoreError> {
        self.read(move |c| row_by_id(c, id).optional()).await
    }

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
            let owner = users::table
                .filter(users::email.eq(email.as_str()))
                .select(UserRow::as_select())
                .get_result::<UserRow>(tx.connection);
            insert_for(tx, owner.optional()?, token)
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

    /// Gives the token with this id another name, if it belongs to `owner` and isn't revoked.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token asks for.
    pub async fn rename_token(
        &self,
        by: Acting,
        id: i64,
        owner: i64,
        name: Name,
    ) -> Result<Option<Token>, StoreError> {
        self.write_by(Some(by), move |tx| {
            let renamed = diesel::update(tokens::table.find(id))
                .filter(tokens::user_id.eq(owner))
                .filter(tokens::revoked_at.is_null())
                .set(tokens::name.eq(name.as_str()))
                .returning((TokenRow::as_returning(), tokens::digest))
                .get_result::<(TokenRow, Vec<u8>)>(tx.connection)
                .optional()?;
            Ok(renamed.map(|(row, digest)| {
                forget(tx, &[digest]);
                row.into()
            }))
        })
        .await
    }

    /// A page of a user's live tokens, newest first, after the first `offset`.
    ///
    /// # Errors
    /// [`StoreError`], as from every question.
    pub async fn live_tokens_of(
        &self,
        user_id: i64,
        ttl: Lifetime,
        now: Timestamp,
        offset: i64,
        limit: i64,
    ) -> Result<Page<Token>, StoreError> {
        let age_cutoff = ttl.age_cutoff(now).map_or(i64::MIN, Timestamp::as_unix);
        self.read(move |c| {
            // One transaction: the count and the rows are of one moment.
            c.transaction(|c| {
                let live = tokens::table
                    .filter(tokens::user_id.eq(user_id))
                    .filter(tokens::revoked_at.is_null())
                    .filter(tokens::expires_at.is_null().or(tokens::expires_at.gt(now.as_unix())))
                    .filter(tokens::created_at.gt(age_cutoff));
                let total = live.count().get_result(c)?;
                let rows = live
                    .select(TokenRow::as_select())
                    .order(tokens::id.desc())
                    .offset(offset)
                    .limit(limit)
                    .load::<TokenRow>(c)?;
                Ok(Page { rows: rows.into_iter().map(Token::from).collect(), total })
            })
        })
        .await
    }

    /// Every token that has not been purged, oldest first, with its owner; those of one user if an
    /// email is given.
    ///
    /// # Errors
    /// [`StoreError`], as from every question.
    pub async fn all_tokens(&self, email: Option<Email>) -> Result<Vec<(Token, User)>, StoreError> {
        let mut query = tokens::table
            .inner_join(users::table)
            .select((TokenRow::as_select(), UserRow::as_select()))
            .order(tokens::id)
            .into_boxed();
        if let Some(email) = email {
            query = query.filter(users::email.eq(email.as_str().to_owned()));
        }
        let rows = self.read(move |c| query.load::<Rows>(c)).await?;
        Ok(rows.into_iter().map(into_domain).collect())
    }

    /// Revokes the token with this id, if it belongs to `owner` (anybody, if `None`) and isn't
    /// revoked yet.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token asks for.
    pub async fn revoke_token(
        &self,
        by: Option<Acting>,
        id: i64,
        owner: Option<i64>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.write_by(by, move |tx| {
            let anybody = owner.is_none().into_sql::<Bool>();
            let digests = diesel::update(tokens::table.find(id))
                .filter(tokens::revoked_at.is_null())
                .filter(tokens::user_id.eq(owner.unwrap_or_default()).or(anybody))
                .set(tokens::revoked_at.eq(now.as_unix()))
                .returning(tokens::digest)
                .load::<Vec<u8>>(tx.connection)?;
            Ok(forget(tx, &digests))
        })
        .await
    }

    /// Revokes the tokens of `owner`, all but `except`.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token asks for.
    pub async fn revoke_tokens_of(
        &self,
        by: Option<Acting>,
        owner: i64,
        except: Option<i64>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.write_by(by, move |tx| Ok(revoke_all(tx, owner, except, now)?)).await
    }

    /// Notes when tokens, by their ids, last passed a check.
    ///
    /// # Errors
    /// [`StoreError`], as from every write.
    pub async fn record_usage(&self, uses: Vec<(i64, Timestamp)>) -> Result<(), StoreError> {
        self.write(move |tx| {
            for (id, at) in uses {
                diesel::update(tokens::table.find(id))
                    .set(tokens::last_used_at.eq(at.as_unix()))
                    .execute(tx.connection)?;
            }
            Ok(())
        })
        .await
    }
}

/// Revokes the tokens of `owner`, all but `except`, within a write.
pub(super) fn revoke_all(
    tx: &mut Transaction<'_>,
    owner: i64,
    except: Option<i64>,
    now: Timestamp,
) -> QueryResult<usize> {
    let digests = diesel::update(tokens::table)
        .filter(tokens::user_id.eq(owner))
        .filter(tokens::revoked_at.is_null())
        // No row has a negative number.
        .filter(tokens::id.ne(except.unwrap_or(-1)))
        .set(tokens::revoked_at.eq(now.as_unix()))
        .returning(tokens::digest)
        .load::<Vec<u8>>(tx.connection)?;
    Ok(forget(tx, &digests))
}

/// Has what was read of a user's tokens forgotten: the user is about to change. Tells how many of
/// them are not revoked.
pub(super) fn forget_all(tx: &mut Transaction<'_>, owner: i64) -> QueryResult<usize> {
    let rows = tokens::table.filter(tokens::user_id.eq(owner));
    let rows = rows.select((tokens::digest, tokens::revoked_at.is_null()));
    let (digests, unrevoked): (Vec<_>, Vec<bool>) =
        rows.load::<(Vec<u8>, bool)>(tx.connection)?.into_iter().unzip();
    forget(tx, &digests);
    Ok(unrevoked.into_iter().filter(|&is_unrevoked| is_unrevoked).count())
}

pub(super) fn forget(tx: &mut Transaction<'_>, digests: &[Vec<u8>]) -> usize {
    tx.forget(digests.iter().filter_map(|digest| TokenHash::from_stored(digest)));
    digests.len()
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
    diesel::insert_into(tokens::table)
        .values((
            tokens::user_id.eq(user_id),
            tokens::name.eq(token.name.as_str()),
            tokens::digest.eq(token.hash.as_bytes().as_slice()),
            tokens::abilities.eq(abilities.as_scope()),
            tokens::created_at.eq(token.created_at.as_unix()),
            tokens::expires_at.eq(token.expires_at.map(Timestamp::as_unix)),
        ))
        .execute(c)?;
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
