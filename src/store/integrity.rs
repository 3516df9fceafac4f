//! Whether the file is whole.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::{Store, StoreError};

/// What SQLite finds wrong: in the file's structure, and with rows that name others.
const FAULTS: &str = r#"
    SELECT integrity_check AS fault FROM pragma_integrity_check WHERE integrity_check <> 'ok'
    UNION ALL
    SELECT 'row ' || rowid || ' of ' || "table" || ' names a row of ' || parent || ' that is missing'
    FROM pragma_foreign_key_check
"#;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    fault: String,
}

impl Store {
    /// Reads the whole file, and gives the faults that SQLite finds in it, in its own words.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn faults(&self) -> Result<Vec<String>, StoreError> {
        let faults = self.read(|connection| {
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
