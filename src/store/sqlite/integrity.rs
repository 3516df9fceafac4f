//! The check of the file for damage.

use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::store::{Store, StoreError};

/// Damage that SQLite finds in the file's structure, tokens without an owner, and wrong counts of tokens. The
/// tokens of a deleted user are no fault: the sweeper deletes them.
const FAULTS: &str = r#"
    SELECT integrity_check AS fault FROM pragma_integrity_check WHERE integrity_check <> 'ok'
    UNION ALL
    SELECT 'the token ' || id || ' belongs to the user ' || user_id || ', who is missing' FROM tokens
    WHERE user_id NOT IN (SELECT id FROM users) AND user_id NOT IN (SELECT user_id FROM bulk_revocations)
    UNION ALL
    SELECT 'the user ' || id || ' has ' || found || ' unrevoked tokens, and token_counts says ' || counted
    FROM (
        SELECT id, ifnull(unrevoked, 0) AS counted,
            (SELECT count(*) FROM unrevoked_tokens WHERE user_id = users.id) AS found
        FROM users LEFT JOIN token_counts ON token_counts.user_id = users.id
    )
    WHERE found <> counted
"#;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    fault: String,
}

impl Store {
    /// Reads the whole file. Returns the faults that it finds, most of them in SQLite's words.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn faults(&self) -> Result<Vec<String>, StoreError> {
        let faults = self.read_list(|connection| {
            Ok(match diesel::sql_query(FAULTS).load::<Row>(connection) {
                Ok(rows) => rows.into_iter().map(|row| row.fault).collect(),
                // The damage prevents the check itself.
                Err(error) if error.to_string().contains("malformed") => vec![error.to_string()],
                Err(error) => return Err(error),
            })
        });
        faults.await
    }
}
