//! Whether the store can read and write, as a load balancer asks.
//!
//! A probe really writes and really reads. Anybody may ask, so one probe serves all who ask within a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use tokio::sync::watch;

use super::sqlite::statements::statements;
use super::{Store, StoreError, closed, within};

/// How long a probe's result is given to others, and how long a probe may take.
const PERIOD: Duration = Duration::from_secs(1);

type Outcome = Option<Result<(), StoreError>>;

/// The last probe: when it began, and what it finds.
#[derive(Default)]
pub(super) struct LastProbe(Mutex<Option<(Instant, watch::Receiver<Outcome>)>>);

statements! {
    // It changes nothing, but writes the database's first page.
    Touch: "PRAGMA user_version = 0";
    // It reads the root, and the way from there to a row, of each table and index.
    Roots: "SELECT EXISTS (SELECT 1 FROM users WHERE id > 0) \
        + EXISTS (SELECT 1 FROM users INDEXED BY users_email WHERE email >= '') \
        + EXISTS (SELECT 1 FROM users INDEXED BY users_password_cost WHERE substr(password_hash, 5, 2) >= '' \
            AND password_hash GLOB '$2[abxy]$[01][0-9]$*' AND length(password_hash) = 60) \
        + EXISTS (SELECT 1 FROM tokens WHERE id > 0) \
        + EXISTS (SELECT 1 FROM tokens INDEXED BY tokens_digest_prefix WHERE digest_prefix >= x'') \
        + EXISTS (SELECT 1 FROM tokens INDEXED BY tokens_user_id WHERE user_id > 0) \
        + EXISTS (SELECT 1 FROM tokens INDEXED BY tokens_created_at WHERE created_at > 0) \
        + EXISTS (SELECT 1 FROM tokens INDEXED BY tokens_expires_at WHERE expires_at > 0) \
        + EXISTS (SELECT 1 FROM tokens INDEXED BY tokens_revoked_at WHERE revoked_at > 0) \
        + EXISTS (SELECT 1 FROM tokens INDEXED BY tokens_parent_id WHERE parent_id > 0) \
        + EXISTS (SELECT 1 FROM tokens INDEXED BY tokens_ages_from WHERE ages_from > 0) \
        + EXISTS (SELECT 1 FROM tokens INDEXED BY tokens_unrevoked_id \
            WHERE user_id > 0 AND revoked_at IS NULL) \
        + EXISTS (SELECT 1 FROM email_owners WHERE email >= '') \
        + EXISTS (SELECT 1 FROM email_owners INDEXED BY email_owners_user_id WHERE user_id > 0) \
        + EXISTS (SELECT 1 FROM token_counts WHERE user_id > 0) \
        + EXISTS (SELECT 1 FROM bulk_revocations WHERE id > 0) \
        + EXISTS (SELECT 1 FROM bulk_revocations INDEXED BY bulk_revocations_revoked_at \
            WHERE revoked_at > 0) \
        + EXISTS (SELECT 1 FROM changes WHERE seq > 0) \
        + EXISTS (SELECT 1 FROM sqlite_sequence WHERE rowid > 0) AS found";
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    #[expect(dead_code, reason = "what matters is that it can be read")]
    found: i64,
}

impl Store {
    /// Checks that the store can read and write, or could within the last second.
    ///
    /// # Errors
    /// [`StoreError`] if it can't within a second.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut outcome = self.last_probe();
        let outcome = outcome.wait_for(Option::is_some).await.map_err(|_| closed())?;
        outcome.clone().unwrap_or_else(|| Err(closed()))
    }

    /// The last probe, or a new one if that began longer than a second ago. It runs by itself, so that clients
    /// who hang up don't cause further ones.
    fn last_probe(&self) -> watch::Receiver<Outcome> {
        let mut last = self.0.last_probe.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, outcome)) = last.as_ref().filter(|(began, _)| began.elapsed() < PERIOD) {
            return outcome.clone();
        }
        let (sender, outcome) = watch::channel(None);
        let store = self.clone();
        tokio::spawn(async move {
            sender.send_replace(Some(within(PERIOD, store.probe()).await));
        });
        *last = Some((Instant::now(), outcome.clone()));
        outcome
    }

    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        self.write(|connection| Ok(Touch {}.execute(connection).map(drop)?)).await?;
        // After the write: a connection keeps pages in memory until another one has written.
        self.read(|connection| Roots {}.get_result::<Found>(connection)).await?;
        if !self.0.log.is_fresh() {
            let cause = "the changes of other processes were not read within the last second";
            return Err(StoreError::Unavailable(cause.to_owned()));
        }
        match self.0.checkpoint_failure.get() {
            Some(error) => {
                Err(StoreError::Unavailable(format!("the last checkpoint failed: {error}")))
            }
            None => Ok(()),
        }
    }
}
