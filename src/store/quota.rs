//! How many live tokens a user may have.
//!
//! Each statement here finds live tokens by the index `tokens_unrevoked`, and stops at the quota. So a user
//! who has issued and revoked a million tokens doesn't slow down what others write.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};

use super::revocation::revoke_line;
use super::sqlite::statements::statements;
use super::sqlite::writer::Transaction;
use super::tokens::age_cutoff;
use crate::domain::{Lifetime, Timestamp};

/// The most live tokens of a user.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// How many; any number if `None`.
    pub most: Option<u32>,
    /// How old tokens may grow.
    pub ttl: Lifetime,
}

// Tokens with a bound of their own and those without are asked for separately, because the index holds them
// apart. Each LIMIT is a sum: SQLite plans a statement anew each time a bare LIMIT is bound.
statements! {
    CountUnbounded: "SELECT count(*) AS live FROM (SELECT 1 FROM tokens \
        WHERE user_id = " [owner: i64 as BigInt] " AND revoked_at IS NULL AND expires_at IS NULL \
        AND ifnull(ages_from, created_at) > " [age_cutoff: i64 as BigInt]
        " LIMIT 0 + " [most: i64 as BigInt] ")";
    CountBounded: "SELECT count(*) AS live FROM (SELECT 1 FROM tokens \
        WHERE user_id = " [owner: i64 as BigInt] " AND revoked_at IS NULL \
        AND expires_at > " [now: i64 as BigInt]
        " AND ifnull(ages_from, created_at) > " [age_cutoff: i64 as BigInt]
        " LIMIT 0 + " [most: i64 as BigInt] ")";
    IdlestUnbounded: "SELECT id, digest, min(used) AS used FROM (\
        SELECT id, digest, ifnull(last_used_at, created_at) AS used FROM tokens \
        WHERE kind = 'login' AND user_id = " [owner: i64 as BigInt] " AND revoked_at IS NULL \
        AND expires_at IS NULL \
        AND ifnull(ages_from, created_at) > " [age_cutoff: i64 as BigInt]
        " LIMIT 0 + " [most: i64 as BigInt] ") HAVING count(*) > 0";
    IdlestBounded: "SELECT id, digest, min(used) AS used FROM (\
        SELECT id, digest, ifnull(last_used_at, created_at) AS used FROM tokens \
        WHERE kind = 'login' AND user_id = " [owner: i64 as BigInt] " AND revoked_at IS NULL \
        AND expires_at > " [now: i64 as BigInt]
        " AND ifnull(ages_from, created_at) > " [age_cutoff: i64 as BigInt]
        " LIMIT 0 + " [most: i64 as BigInt] ") HAVING count(*) > 0";
}

#[derive(QueryableByName)]
struct Live {
    #[diesel(sql_type = BigInt)]
    live: i64,
}

#[derive(QueryableByName)]
struct Idlest {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Binary)]
    digest: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    used: i64,
}

impl Quota {
    /// The quota's number, if `owner` has as many live tokens or more.
    pub(super) fn reached(
        self,
        connection: &mut SqliteConnection,
        owner: i64,
        now: Timestamp,
    ) -> QueryResult<Option<u32>> {
        let Some(limit) = self.most else { return Ok(None) };
        let (age_cutoff, most) = (age_cutoff(self.ttl, now), i64::from(limit));
        let unbounded = CountUnbounded { owner, age_cutoff, most };
        let bounded = CountBounded { owner, now: now.as_unix(), age_cutoff, most };
        let live = unbounded.get_result::<Live>(connection)?.live
            + bounded.get_result::<Live>(connection)?.live;
        Ok((live >= most).then_some(limit))
    }

    /// Revokes the login token of `owner` that was used least recently, and gives how many were revoked:
    /// none, if all their tokens are of another kind. If they have more login tokens than the quota allows,
    /// which a lower setting can leave, it is one of the oldest.
    pub(super) fn end_a_login(
        self,
        tx: &mut Transaction<'_>,
        owner: i64,
        now: Timestamp,
    ) -> QueryResult<usize> {
        let Some(most) = self.most.map(i64::from) else { return Ok(0) };
        let age_cutoff = age_cutoff(self.ttl, now);
        let unbounded = IdlestUnbounded { owner, age_cutoff, most };
        let bounded = IdlestBounded { owner, now: now.as_unix(), age_cutoff, most };
        let found = [
            unbounded.get_result::<Idlest>(tx.connection).optional()?,
            bounded.get_result::<Idlest>(tx.connection).optional()?,
        ];
        match found.into_iter().flatten().min_by_key(|login| login.used) {
            Some(login) => revoke_line(tx, login.id, login.digest, now),
            None => Ok(0),
        }
    }
}
