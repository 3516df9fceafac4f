//! The application service: users, logins, tokens, checks, access rules, explanations, maintenance. The HTTP
//! handlers and the command line both call it, and neither goes round it.

mod actor;
mod authenticate;
mod error;
mod explain;
mod forward_auth;
mod issue_limit;
mod login;
mod login_limiter;
mod maintenance;
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
pub use forward_auth::{Question, Requirement};
pub(crate) use issue_limit::IssueLimiter;
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

/// What the service is made of; [`crate::app`] puts it together.
pub(crate) struct AuthParts {
    /// The database.
    pub store: Store,
    /// The checked tokens.
    pub tokens: TokenCache,
    /// Where passwords are hashed.
    pub hasher: Hasher,
    /// How often a login may be tried.
    pub limiter: LoginLimiter,
    /// How many tokens bearers may issue.
    pub issues: IssueLimiter,
    /// How many live tokens a user may have.
    pub quota: Quota,
    /// Where the use of tokens is noted.
    pub usage: UsageRecorder,
    /// Where `now` comes from.
    pub clock: Clock,
    /// How old a token may grow.
    pub ttl: Lifetime,
    /// Who may change an account's email.
    pub email_change: EmailChange,
    /// What new tokens begin with.
    pub prefix: TokenPrefix,
    /// Which requests pass that a proxy asks about.
    pub rules: Rules,
    /// How the proxy names those requests; `Some` if and only if there are rules.
    pub forward_auth_headers: Option<ForwardAuthHeaders>,
    /// For how long a dead token's row is kept.
    pub retention: Duration,
    /// Where it is counted.
    pub metrics: Metrics,
}

/// What somebody asks of a new token.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// What it is to be called.
    pub name: Name,
    /// What it is to be able to do; everything, if nothing is asked for.
    pub abilities: Option<Abilities>,
    /// Seconds until it expires; no bound of its own, if nothing is asked for.
    pub expires_in: Option<i64>,
}

/// A new token: the one time that its string is known.
#[derive(Debug)]
pub struct Issued {
    /// The string to send with each request.
    pub plain: PlainToken,
    /// What was stored of it.
    pub token: Token,
}

impl Auth {
    /// The service made of `parts`.
    pub(crate) fn new(parts: AuthParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Whether requests can be answered.
    ///
    /// # Errors
    /// [`Error`] if the store can't answer within a second.
    pub async fn ready(&self) -> Result<(), Error> {
        Ok(self.0.store.ping().await?)
    }

    /// Where everything is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Everything counted until now, in Prometheus's text format.
    pub fn metrics_text(&self) -> String {
        self.0.store.note_queues();
        self.0.hasher.note_queue();
        self.0.metrics.text()
    }

    fn now(&self) -> Timestamp {
        (self.0.clock)()
    }

    /// When `token` dies: the earlier of its own bound and `token_ttl`'s.
    pub fn end_of(&self, token: &Token) -> Option<Timestamp> {
        self.0.ttl.end(token.ages_from(), token.expires_at)
    }

    /// Whether `token` of `owner` is live now.
    pub fn is_live(&self, token: &Token, owner: &User) -> bool {
        self.0.ttl.check(token, owner, self.now()).is_ok()
    }
}
