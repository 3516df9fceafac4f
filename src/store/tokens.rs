//! The table `tokens`.

use diesel::define_sql_function;
use diesel::dsl::auto_type;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use super::emails::by_email;
use super::schema::{token_heads, tokens, users};
use super::sqlite::statements::statements;
use super::sqlite::writer::Transaction;
use super::users::UserRow;
use super::{ActingToken, Change, Store, StoreError};
use crate::domain::{
    Abilities, Bond, Email, Lifetime, Name, Timestamp, Token, TokenHash, TokenKind, User,
};

statements! {
    NoteUse: "UPDATE tokens SET last_used_at = " [at: i64 as BigInt] " WHERE id = " [id: i64 as BigInt];
}

/// What of a digest the table `token_heads` has: enough to tell tokens apart.
pub(super) fn head(digest: &[u8; 32]) -> &[u8] {
    &digest[..8]
}

/// The most rows of one read where a whole table is listed, so that no more are in memory at a time.
pub(super) const STEP: i64 = 1000;

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
    kind: String,
    parent_id: Option<i64>,
    ages_from: Option<i64>,
}

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        let kind = TokenKind::from_stored(&row.kind);
        let ages_from = Timestamp::from_unix(row.ages_from.unwrap_or(row.created_at));
        Self {
            id: row.id,
            kind,
            bond: row.parent_id.map(|parent_id| Box::new(Bond { parent_id, ages_from })),
            name: Name::from_stored(row.name),
            abilities: Abilities::from_stored(row.abilities).held_by(kind),
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

define_sql_function! {
    /// SQLite's: the first, unless that is NULL.
    fn ifnull(value: Nullable<BigInt>, otherwise: BigInt) -> BigInt;
}

/// That a token is neither revoked nor expired at this time, and that its age counts from after that one.
#[auto_type(no_type_alias)]
fn has_not_ended(now: i64, age_cutoff: i64) -> _ {
    let is_unexpired = tokens::expires_at.is_null().or(tokens::expires_at.gt(now));
    // The second is never later than the first, which has an index.
    let is_young = tokens::created_at
        .gt(age_cutoff)
        .and(ifnull(tokens::ages_from, tokens::created_at).gt(age_cutoff));
    tokens::revoked_at.is_null().and(is_unexpired).and(is_young)
}

/// Tokens created at this time or before are dead of age.
pub(super) fn age_cutoff(ttl: Lifetime, now: Timestamp) -> i64 {
    ttl.age_cutoff(now).map_or(i64::MIN, Timestamp::as_unix)
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
            .read_briefly(move |c| {
                token_heads::table
                    .inner_join(tokens::table.inner_join(users::table))
                    .filter(token_heads::head.eq(head(hash.as_bytes())))
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
        self.read_briefly(move |c| row_by_id(c, id).optional()).await
    }

    /// Gives the token with this id another name, if it belongs to `owner` and isn't revoked. Gives it as
    /// it is now.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token asks for.
    pub async fn rename_token(
        &self,
        by: ActingToken,
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
                tell(tx, &[digest], Change::Other);
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
        self.read(move |c| {
            // One transaction: the count and the rows are of one moment.
            c.transaction(|c| {
                let live = tokens::table
                    .filter(tokens::user_id.eq(user_id))
                    .filter(has_not_ended(now.as_unix(), age_cutoff(ttl, now)));
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

    /// Notes how many tokens are live, for the metrics. Reads the whole table: for the sweeper alone.
    ///
    /// # Errors
    /// [`StoreError`], as from every question.
    pub async fn note_live(&self, ttl: Lifetime, now: Timestamp) -> Result<(), StoreError> {
        let live: i64 = self
            .read(move |c| {
                tokens::table
                    .inner_join(users::table)
                    .filter(has_not_ended(now.as_unix(), age_cutoff(ttl, now)))
                    .filter(users::disabled_at.is_null())
                    .count()
                    .get_result(c)
            })
            .await?;
        self.0.metrics.live(live);
        Ok(())
    }

    /// The tokens with ids above `after` that have not been purged, a thousand at most, in the order of
    /// their ids, each with its owner; those of one user, if an email is given.
    ///
    /// # Errors
    /// [`StoreError`], as from every question.
    pub async fn tokens_after(
        &self,
        after: i64,
        email: Option<&Email>,
    ) -> Result<Vec<(Token, User)>, StoreError> {
        let mut query = tokens::table
            .inner_join(users::table)
            .select((TokenRow::as_select(), UserRow::as_select()))
            .filter(tokens::id.gt(after))
            .order(tokens::id)
            .limit(STEP)
            .into_boxed();
        let email = email.cloned();
        let query = move |c: &mut SqliteConnection| {
            if let Some(email) = &email {
                let Some((owner, _)) = by_email(c, email)? else { return Ok(Vec::new()) };
                query = query.filter(tokens::user_id.eq(owner.id));
            }
            query.load::<Rows>(c)
        };
        let rows = self.read(query).await?;
        Ok(rows.into_iter().map(into_domain).collect())
    }

    /// Notes when tokens, by their ids, last passed a check.
    ///
    /// # Errors
    /// [`StoreError`], as from every write.
    pub async fn record_usage(&self, uses: Vec<(i64, Timestamp)>) -> Result<(), StoreError> {
        self.write(move |tx| {
            for (id, at) in uses {
                NoteUse { at: at.as_unix(), id }.execute(tx.connection)?;
            }
            Ok(())
        })
        .await
    }
}

/// Invalidates what was read of a user's tokens, because the user changes. Gives how many of them are not
/// revoked. Revoked ones, of which there may be many, are not read: none of them is cached as live.
pub(super) fn forget_all(tx: &mut Transaction<'_>, owner: i64) -> QueryResult<usize> {
    let unrevoked =
        tokens::table.filter(tokens::user_id.eq(owner)).filter(tokens::revoked_at.is_null());
    let digests = unrevoked.select(tokens::digest).load::<Vec<u8>>(tx.connection)?;
    Ok(tell(tx, &digests, Change::Other))
}

/// [`Transaction::tell`] of digests as they are stored; gives how many.
pub(super) fn tell(
    tx: &mut Transaction<'_>,
    digests: &[Vec<u8>],
    change: fn(TokenHash) -> Change,
) -> usize {
    tx.tell(digests.iter().filter_map(|digest| TokenHash::from_stored(digest)).map(change));
    digests.len()
}
