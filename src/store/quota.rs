//! How many live tokens a user may have.
//!
//! Each statement here finds live tokens by the index `tokens_unrevoked_id`, and stops at the quota. So a
//! user who has issued and revoked a million tokens doesn't slow down what others write. Only tokens that have
//! expired and are not purged are in the index too; the limit of tokens that a user issues bounds them.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::revocation::{count_unrevoked, revoke_with_bound};
use super::sqlite::statements::statements;
use super::token_lists::age_cutoff;
use crate::domain::{Lifetime, Timestamp};

/// The most live tokens of a user.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// How many; any number if `None`.
    pub most: Option<u32>,
    /// How old tokens may grow.
    pub ttl: Lifetime,
}

// Each LIMIT is a sum: SQLite plans a statement anew each time a bare LIMIT is bound.
statements! {
    CountLive: "SELECT count(*) AS number FROM (SELECT 1 FROM unrevoked_tokens \
        WHERE user_id = " [owner: i64 as BigInt]
        " AND (expires_at IS NULL OR expires_at > " [now: i64 as BigInt]
        ") AND ifnull(ages_from, created_at) > " [age_cutoff: i64 as BigInt]
        " LIMIT 0 + " [most: i64 as BigInt] ")";
    IdlestLogin: "SELECT id AS number, min(used) FROM (\
        SELECT id, ifnull(last_used_at, created_at) AS used FROM unrevoked_tokens \
        WHERE kind = 'login' AND user_id = " [owner: i64 as BigInt]
        " AND (expires_at IS NULL OR expires_at > " [now: i64 as BigInt]
        ") AND ifnull(ages_from, created_at) > " [age_cutoff: i64 as BigInt]
        " LIMIT 0 + " [most: i64 as BigInt] ") HAVING count(*) > 0";
}

/// A count, or an id.
#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl Quota {
    /// The quota's number, if `owner` has as many live tokens or more.
    pub(super) fn reached(
        self,
        c: &mut SqliteConnection,
        owner: i64,
        now: Timestamp,
    ) -> QueryResult<Option<u32>> {
        let Some(limit) = self.most else { return Ok(None) };
        // Nearly always: also with those that have expired and are not purged, there are fewer.
        if count_unrevoked(c, owner)? < limit as usize {
            return Ok(None);
        }
        let (age_cutoff, most) = (age_cutoff(self.ttl, now), i64::from(limit));
        let live =
            CountLive { owner, now: now.as_unix(), age_cutoff, most }.get_result::<Row>(c)?;
        Ok((live.number >= most).then_some(limit))
    }

    /// Revokes the login token of `owner` that was used least recently, and returns how many were revoked:
    /// none, if all their tokens are of another kind. If they have more login tokens than the quota allows,
    /// which a lower setting can leave, it is one of the oldest.
    pub(super) fn end_a_login(
        self,
        c: &mut SqliteConnection,
        owner: i64,
        now: Timestamp,
    ) -> QueryResult<usize> {
        let Some(most) = self.most.map(i64::from) else { return Ok(0) };
        let age_cutoff = age_cutoff(self.ttl, now);
        let idlest = IdlestLogin { owner, now: now.as_unix(), age_cutoff, most };
        match idlest.get_result::<Row>(c).optional()? {
            Some(login) => revoke_with_bound(c, login.number, Some(owner), now),
            None => Ok(0),
        }
    }
}
