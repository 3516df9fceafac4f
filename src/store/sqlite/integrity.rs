//! Whether the file is whole.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::{Lifetime, Timestamp};
use crate::store::tokens::age_cutoff;
use crate::store::{Store, StoreError};

/// What SQLite finds wrong: in the file's structure, with rows that name others, and with tokens that
/// are live and not found. Of dead ones a sweep may have removed one half.
const FAULTS: &str = r#"
    SELECT integrity_check AS fault FROM pragma_integrity_check WHERE integrity_check <> 'ok'
    UNION ALL
    SELECT 'row ' || rowid || ' of ' || "table" || ' names a row of ' || parent || ' that is missing'
    FROM pragma_foreign_key_check
    UNION ALL
    SELECT 'the token ' || id || ' is live, and has no row in token_heads by which it would be found'
    FROM tokens
    WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)
        AND ifnull(ages_from, created_at) > ?
        AND NOT EXISTS (SELECT 1 FROM token_heads WHERE head = substr(digest, 1, 8) AND token_id = id)
"#;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    fault: String,
}

impl Store {
    /// Reads the whole file, and gives the faults that SQLite finds in it, most in its own words.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn faults(&self, ttl: Lifetime, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let faults = self.read(move |connection| {
            let faults = diesel::sql_query(FAULTS)
                .bind::<BigInt, _>(now.as_unix())
                .bind::<BigInt, _>(age_cutoff(ttl, now));
            Ok(match faults.load::<Row>(connection) {
                Ok(rows) => rows.into_iter().map(|row| row.fault).collect(),
                // Too damaged to be gone through.
                Err(error) if error.to_string().contains("malformed") => vec![error.to_string()],
                Err(error) => return Err(error),
            })
        });
        faults.await
    }
}
