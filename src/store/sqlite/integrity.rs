//! Whether the file is whole.

use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::store::{Store, StoreError};

/// What SQLite finds wrong in the file's structure, tokens without an owner, and numbers of tokens that are
/// not those of the rows. The tokens of a deleted user wait for the sweeper.
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
    /// Reads the whole file, and gives the faults that SQLite finds in it, most in its own words.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn faults(&self) -> Result<Vec<String>, StoreError> {
        let faults = self.read_list(|connection| {
            Ok(match diesel::sql_query(FAULTS).load::<Row>(connection) {
                Ok(rows) => rows.into_iter().map(|row| row.fault).collect(),
                // Too damaged to be gone through.
                Err(error) if error.to_string().contains("malformed") => vec![error.to_string()],
                Err(error) => return Err(error),
            })
        });
        faults.await
    }
}
