//! Lists of tokens, and their number.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::emails::by_email;
use super::rows::{TokenRow, UserRow, into_domain};
use super::schema::{tokens, users};
use super::sqlite::statements::statements;
use super::{Page, STEP, Store, StoreError};
use crate::domain::{Email, Lifetime, Timestamp, Token, User};

// The ids alone are in the index; so the rows before the page are not read.
statements! {
    CountLive: "SELECT count(*) AS number FROM unrevoked_tokens WHERE user_id = " [user_id: i64 as BigInt]
        " AND (expires_at IS NULL OR expires_at > " [now: i64 as BigInt]
        ") AND ifnull(ages_from, created_at) > " [age_cutoff: i64 as BigInt];
    Live: "SELECT * FROM tokens WHERE id IN (SELECT id FROM unrevoked_tokens WHERE user_id = "
        [user_id: i64 as BigInt] " AND (expires_at IS NULL OR expires_at > " [now: i64 as BigInt]
        ") AND ifnull(ages_from, created_at) > " [age_cutoff: i64 as BigInt]
        " ORDER BY id DESC LIMIT " [limit: i64 as BigInt] " OFFSET " [offset: i64 as BigInt]
        ") ORDER BY id DESC";
    // The unrevoked ones of enabled users, without those that have expired and wait for the sweeper.
    CountAllLive: "SELECT ifnull((SELECT sum(unrevoked) FROM token_counts CROSS JOIN users ON users.id = user_id \
        WHERE disabled_at IS NULL), 0) - (SELECT count(*) FROM tokens CROSS JOIN users ON users.id = user_id \
        WHERE expires_at <= " [now: i64 as BigInt]
        " AND revoked_at IS NULL AND disabled_at IS NULL \
        AND (tokens.id > revoked_through OR tokens.id = kept_token)) \
        - (SELECT count(*) FROM tokens CROSS JOIN users ON users.id = user_id WHERE tokens.created_at <= "
        [age_cutoff: i64 as BigInt] " AND ifnull(expires_at > " [later: i64 as BigInt]
        ", TRUE) AND revoked_at IS NULL AND disabled_at IS NULL \
        AND (tokens.id > revoked_through OR tokens.id = kept_token)) AS number";
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Tokens created at this time or before have died of age.
pub(super) fn age_cutoff(ttl: Lifetime, now: Timestamp) -> i64 {
    ttl.age_cutoff(now).map_or(i64::MIN, Timestamp::as_unix)
}

impl Store {
    /// A page of a user's live tokens, newest first, after the first `offset`.
    ///
    /// # Errors
    /// [`StoreError`], as from every read.
    pub async fn live_tokens_of(
        &self,
        user_id: i64,
        ttl: Lifetime,
        now: Timestamp,
        offset: i64,
        limit: i64,
    ) -> Result<Page<Token>, StoreError> {
        let (age_cutoff, now) = (age_cutoff(ttl, now), now.as_unix());
        self.read_list(move |c| {
            // One transaction: the count and the rows are of one moment.
            c.transaction(|c| {
                let total = CountLive { user_id, now, age_cutoff }.get_result::<Count>(c)?.number;
                let live = Live { user_id, now, age_cutoff, limit, offset }.load::<TokenRow>(c)?;
                Ok(Page { rows: live.into_iter().map(Token::from).collect(), total })
            })
        })
        .await
    }

    /// The tokens with ids above `after` that have not been purged, a thousand at most, in the order of
    /// their ids, each with its owner; those of one user, if an email is given.
    ///
    /// # Errors
    /// [`StoreError`], as from every read.
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
            query.load::<(TokenRow, UserRow)>(c)
        };
        let rows = self.read_list(query).await?;
        Ok(rows.into_iter().map(into_domain).collect())
    }

    /// Sets the metric of live tokens, from numbers that each write keeps, and from the rows of tokens that
    /// have expired and are not purged yet.
    ///
    /// # Errors
    /// [`StoreError`], as from every read.
    pub async fn measure_live_tokens(
        &self,
        ttl: Lifetime,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (age_cutoff, now) = (age_cutoff(ttl, now), now.as_unix());
        let live = CountAllLive { now, age_cutoff, later: now };
        let live = self.read_list(move |c| live.get_result::<Count>(c)).await?;
        self.0.metrics.set_live_tokens(live.number);
        Ok(())
    }
}
