//! Revocations in the table `tokens`. A token is revoked together with the tokens that are bound to it,
//! directly or through others, in the same transaction. So no token that is bound to a revoked one passes.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::schema::{token_heads, tokens};
use super::sqlite::statements::statements;
use super::sqlite::writer::Transaction;
use super::tokens::{head, tell};
use super::{ActingToken, Change, Store, StoreError};
use crate::domain::{PresentedToken, Timestamp};

statements! {
    Revoke: "UPDATE tokens SET revoked_at = " [at: i64 as BigInt] " WHERE id = " [id: i64 as BigInt];
}

impl Store {
    /// Revokes the token with this id, if it belongs to `owner` (anybody, if `None`) and isn't
    /// revoked yet, and what is bound to it. Gives how many were.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token asks for.
    pub async fn revoke_token(
        &self,
        by: Option<ActingToken>,
        id: i64,
        owner: Option<i64>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.write_by(by, move |tx| {
            // One text with an owner or without: it is prepared once.
            let anybody = owner.is_none().into_sql::<Bool>();
            let digest = tokens::table
                .find(id)
                .filter(tokens::revoked_at.is_null())
                .filter(tokens::user_id.eq(owner.unwrap_or_default()).or(anybody))
                .select(tokens::digest)
                .get_result::<Vec<u8>>(tx.connection)
                .optional()?;
            match digest {
                Some(digest) => Ok(revoke_line(tx, id, digest, now)?),
                None => Ok(0),
            }
        })
        .await
    }

    /// Revokes the token whose string is presented, and what is bound to it, also if it has expired or its
    /// owner is disabled. Gives how many were revoked: none, if there is no such token, or it is revoked
    /// already.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token asks for.
    pub async fn revoke_presented(
        &self,
        by: ActingToken,
        presented: PresentedToken,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.write_by(Some(by), move |tx| {
            let digest = presented.hash.as_bytes();
            let id = token_heads::table
                .inner_join(tokens::table)
                .filter(token_heads::head.eq(head(digest)))
                .filter(tokens::digest.eq(digest.as_slice()))
                .filter(tokens::revoked_at.is_null())
                .select(tokens::id)
                .get_result::<i64>(tx.connection)
                .optional()?;
            match id.filter(|&id| presented.names(id)) {
                Some(id) => Ok(revoke_line(tx, id, digest.to_vec(), now)?),
                None => Ok(0),
            }
        })
        .await
    }

    /// Revokes the tokens of `owner`, all but `except`; that one too if it is bound to another. Gives how
    /// many were.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token asks for.
    pub async fn revoke_tokens_of(
        &self,
        by: Option<ActingToken>,
        owner: i64,
        except: Option<i64>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.write_by(by, move |tx| Ok(revoke_all(tx, owner, except, now)?)).await
    }
}

/// Revokes a token that isn't revoked yet, and what is bound to it.
pub(super) fn revoke_line(
    tx: &mut Transaction<'_>,
    id: i64,
    digest: Vec<u8>,
    now: Timestamp,
) -> QueryResult<usize> {
    let mut line = vec![(id, digest)];
    let mut revoked = 0;
    while let Some((id, digest)) = line.pop() {
        Revoke { at: now.as_unix(), id }.execute(tx.connection)?;
        revoked += tell(tx, &[digest], Change::Revoked);
        let children = tokens::table
            .filter(tokens::parent_id.eq(id))
            .filter(tokens::revoked_at.is_null())
            .select((tokens::id, tokens::digest));
        line.extend(children.load::<(i64, Vec<u8>)>(tx.connection)?);
    }
    Ok(revoked)
}

/// Revokes the tokens of `owner`, all but `except`, within a write; that one too if it is bound: its parent
/// is another of the owner's tokens, and dies.
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
        .filter(tokens::id.ne(except.unwrap_or(-1)).or(tokens::parent_id.is_not_null()))
        .set(tokens::revoked_at.eq(now.as_unix()))
        .returning(tokens::digest)
        .load::<Vec<u8>>(tx.connection)?;
    Ok(tell(tx, &digests, Change::Revoked))
}
