//! The application service: users, logins, tokens, checks, access rules, explanations, maintenance. The HTTP
//! handlers and the command line both call it; nothing else uses the store.

mod actor;
mod authenticate;
mod error;
mod explain;
mod forward_auth;
mod issue_limiter;
mod login;
mod login_limiter;
mod maintenance;
mod own_account;
mod sliding_count;
mod token_cache;
mod tokens;
mod users;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::actors::{Hasher, UsageRecorder};
use crate::domain::{
    Abilities, Clock, EmailChange, ForwardAuthHeaders, Lifetime, Name, PlainToken, Rules,
    Timestamp, Token, TokenPrefix, User,
};
use crate::metrics::Metrics;
use crate::store::{Quota, Store};

pub use actor::{Actor, AuthorizedToken};
pub use authenticate::Check;
pub use error::Error;
pub use explain::{Explanation, Step, Subject};
pub(crate) use issue_limiter::IssueLimiter;
pub use login::Credentials;
pub(crate) use login_limiter::LoginLimiter;
pub use maintenance::BackupError;
pub(crate) use token_cache::TokenCache;
pub use token_cache::{CachedUser, Session};
pub use users::{NewUser, UserUpdate};

pub use crate::store::{Page, Purged};

/// The service. Clones share it.
#[derive(Clone)]
pub struct Auth(Arc<AuthParts>);

/// The parts of the service, which [`crate::app`] assembles.
pub(crate) struct AuthParts {
    /// The database.
    pub store: Store,
    /// The checked tokens.
    pub tokens: TokenCache,
    /// Hashes passwords.
    pub hasher: Hasher,
    /// Limits attempts to log in.
    pub limiter: LoginLimiter,
    /// Limits the tokens that tokens issue.
    pub issues: IssueLimiter,
    /// How many live tokens a user may have.
    pub quota: Quota,
    /// Records when tokens are used.
    pub usage: UsageRecorder,
    /// Gives the time.
    pub clock: Clock,
    /// How long tokens live.
    pub ttl: Lifetime,
    /// Who may change an account's email.
    pub email_change: EmailChange,
    /// The prefix of new tokens.
    pub prefix: TokenPrefix,
    /// The access rules for requests to other applications.
    pub rules: Rules,
    /// How the proxy names those requests. `Some` if and only if there are rules.
    pub forward_auth_headers: Option<ForwardAuthHeaders>,
    /// How long the rows of dead tokens are kept.
    pub retention: Duration,
    /// Counts events.
    pub metrics: Metrics,
}

/// A request for a new token.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Its name.
    pub name: Name,
    /// Its abilities; the default depends on the issuer.
    pub abilities: Option<Abilities>,
    /// Seconds until it expires. `None` sets no expiry of its own.
    pub expires_in: Option<i64>,
}

/// A new token. Its string is known only here.
#[derive(Debug)]
pub struct Issued {
    /// The string to send with each request.
    pub plain: PlainToken,
    /// The stored part of it.
    pub token: Token,
}

impl Auth {
    /// The service made of `parts`.
    pub(crate) fn new(parts: AuthParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Checks that requests can be answered.
    ///
    /// # Errors
    /// [`Error`] if the store can't answer within a second.
    pub async fn ready(&self) -> Result<(), Error> {
        Ok(self.0.store.ping().await?)
    }

    /// The metrics.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The metrics in Prometheus's text format.
    pub fn metrics_text(&self) -> String {
        self.0.store.note_queues();
        self.0.hasher.note_queue();
        self.0.metrics.text()
    }

    fn now(&self) -> Timestamp {
        (self.0.clock)()
    }

    /// When `token` ends: at its own expiry, or earlier by `token_ttl`.
    pub fn end_of(&self, token: &Token) -> Option<Timestamp> {
        self.0.ttl.end(token.ages_from(), token.expires_at)
    }

    /// Whether `token` of `owner` is live now.
    pub fn is_live(&self, token: &Token, owner: &User) -> bool {
        self.0.ttl.check(token, owner, self.now()).is_ok()
    }
}
