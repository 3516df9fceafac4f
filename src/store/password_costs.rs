//! The costs of the stored password hashes.

use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use super::{Store, StoreError};
use crate::domain::PasswordHash;

/// The conditions repeat those of the index `users_password_cost` literally; otherwise SQLite scans the table.
/// Costs have two digits, so that their order as text is that of the numbers.
const HIGHEST: &str = r"
    SELECT max(substr(password_hash, 5, 2)) AS cost FROM users
    WHERE password_hash GLOB '$2[abxy]$[01][0-9]$*' AND length(password_hash) = 60
        AND substr(password_hash, 5, 2) <= ?
";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<Text>)]
    cost: Option<String>,
}

impl Store {
    /// The highest cost among the stored password hashes that can be checked, if there is any.
    ///
    /// # Errors
    /// [`StoreError`], as from every read.
    pub async fn highest_password_cost(&self) -> Result<Option<u32>, StoreError> {
        let row = self.read(|connection| {
            diesel::sql_query(HIGHEST)
                .bind::<Text, _>(PasswordHash::COSTS.end().to_string())
                .get_result::<Row>(connection)
        });
        Ok(row.await?.cost.and_then(|cost| cost.parse().ok()))
    }
}
