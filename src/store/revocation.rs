//! Revocations. A token is revoked together with the tokens that are bound to it, directly or through
//! others, in the same transaction. So no token that is bound to a revoked one passes.
//!
//! All of a user's tokens are revoked by a watermark in the user's row, whatever their number: see the
//! migration `revoke_by_watermark`. Its triggers count them, and leave their rows to the sweeper.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use super::rows::by_id;
use super::schema::{token_counts, tokens};
use super::sqlite::statements::statements;
use super::{ActingToken, Store, StoreError};
use crate::domain::{PresentedToken, Timestamp};

statements! {
    // Not a token that a revocation of all tokens has revoked.
    Revoke: "UPDATE tokens SET revoked_at = " [at: i64 as BigInt] " WHERE id = " [id: i64 as BigInt]
        " AND revoked_at IS NULL AND user_id = ifnull(" [owner: Option<i64> as Nullable<BigInt>]
        ", user_id) AND NOT EXISTS (SELECT 1 FROM users WHERE users.id = user_id \
        AND tokens.id <= revoked_through AND tokens.id IS NOT kept_token)";
    Children: "SELECT tokens.id FROM tokens LEFT JOIN users ON users.id = user_id \
        WHERE revoked_at IS NULL AND tokens.id > ifnull(revoked_through, 0) \
        AND parent_id = " [id: i64 as BigInt];
    RevokeAll: "UPDATE users \
        SET revoked_through = ifnull((SELECT max(id) FROM tokens), 0), kept_token = "
        [kept: Option<i64> as Nullable<BigInt>] ", all_revoked_at = " [at: i64 as BigInt]
        " WHERE id = " [user_id: i64 as BigInt];
}

#[derive(QueryableByName)]
struct Child {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl Store {
    /// Revokes the token with this id, if it belongs to `owner` (anybody, if `None`) and isn't
    /// revoked yet, and what is bound to it. Returns how many were revoked.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token requests.
    pub async fn revoke_token(
        &self,
        by: Option<ActingToken>,
        id: i64,
        owner: Option<i64>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.write_by(by, move |c| Ok(revoke_with_bound(c, id, owner, now)?)).await
    }

    /// Revokes the token whose string is presented, and what is bound to it, also if it has expired or its
    /// owner is disabled. Returns how many were revoked: none, if there is no such token, or it is revoked
    /// already.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token requests.
    pub async fn revoke_presented(
        &self,
        by: ActingToken,
        presented: PresentedToken,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.write_by(Some(by), move |c| {
            let digest = presented.hash.as_bytes().as_slice();
            // Without its owner: a row that another program has removed may come back.
            let id = tokens::table
                .filter(tokens::digest_prefix.eq(&digest[..8]))
                .filter(tokens::digest.eq(digest))
                .select(tokens::id)
                .get_result(c)
                .optional()?;
            match id.filter(|&id| presented.names(id)) {
                Some(id) => Ok(revoke_with_bound(c, id, None, now)?),
                None => Ok(0),
            }
        })
        .await
    }

    /// Revokes the tokens of `owner`, all but `except`; that one too if it is bound to another. Returns how
    /// many were revoked.
    ///
    /// # Errors
    /// [`StoreError`], as from every write that a token requests.
    pub async fn revoke_tokens_of(
        &self,
        by: Option<ActingToken>,
        owner: i64,
        except: Option<i64>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.write_by(by, move |c| Ok(revoke_all(c, owner, except, now)?)).await
    }
}

/// Revokes a token and what is bound to it, if it belongs to `owner` (anybody, if `None`) and isn't revoked
/// yet. Returns how many were revoked.
pub(super) fn revoke_with_bound(
    c: &mut SqliteConnection,
    id: i64,
    owner: Option<i64>,
    now: Timestamp,
) -> QueryResult<usize> {
    let mut ids = vec![id];
    let mut revoked = 0;
    while let Some(id) = ids.pop() {
        if (Revoke { at: now.as_unix(), id, owner }).execute(c)? > 0 {
            revoked += 1;
            ids.extend(Children { id }.load::<Child>(c)?.into_iter().map(|child| child.id));
        }
    }
    Ok(revoked)
}

/// Revokes the tokens of `owner`, all but `except`, within a write; that one too if it is bound: its parent
/// is another of the owner's tokens, and dies. Returns how many were revoked.
pub(super) fn revoke_all(
    c: &mut SqliteConnection,
    owner: i64,
    except: Option<i64>,
    now: Timestamp,
) -> QueryResult<usize> {
    let except = match except {
        Some(id) => by_id(c, id)?,
        None => None,
    };
    let kept = except.filter(|(token, user)| {
        user.id == owner && token.bond.is_none() && token.revoked_at.is_none()
    });
    let kept = kept.map(|(token, _)| token.id);
    let before = count_unrevoked(c, owner)?;
    RevokeAll { kept, at: now.as_unix(), user_id: owner }.execute(c)?;
    Ok(before - usize::from(kept.is_some()).min(before))
}

/// How many unrevoked tokens a user has.
pub(super) fn count_unrevoked(c: &mut SqliteConnection, user_id: i64) -> QueryResult<usize> {
    let count = token_counts::table.find(user_id).select(token_counts::unrevoked);
    let count = count.get_result::<i64>(c).optional()?.unwrap_or(0);
    Ok(usize::try_from(count).unwrap_or(0))
}
