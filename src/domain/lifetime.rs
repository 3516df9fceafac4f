//! How long a token lives, and why it is dead.

use super::{Timestamp, Token, User};

/// The maximum age of tokens, whatever their own `expires_at`: the setting `token_ttl`. It applies to tokens
/// already issued too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(Option<i64>);

/// Why a token is not live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLive {
    /// It was revoked.
    Revoked,
    /// Its own `expires_at` has passed.
    Expired,
    /// It has reached the maximum age, `token_ttl`.
    TooOld,
    /// Its owner is disabled.
    OwnerDisabled,
}

/// One of the checks that a live token passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LifeCheck {
    /// Why the token is not live, if it fails.
    pub failure: NotLive,
    /// When the token fails this check, or since when it does.
    pub at: Option<Timestamp>,
    /// Whether the token passes.
    pub passed: bool,
}

impl Lifetime {
    /// Tokens have no maximum age.
    pub const NEVER: Self = Self(None);

    /// Tokens expire `seconds` after they were created.
    pub const fn seconds(seconds: i64) -> Self {
        Self(Some(seconds))
    }

    /// When a token expires: at `expires_at` or at its maximum age, counted from `ages_from`, whichever is
    /// earlier.
    pub fn end(self, ages_from: Timestamp, expires_at: Option<Timestamp>) -> Option<Timestamp> {
        let by_age = self.0.map(|seconds| ages_from.plus(seconds));
        by_age.into_iter().chain(expires_at).min()
    }

    /// Tokens created at or before this time have reached the maximum age at `now`.
    pub fn age_cutoff(self, now: Timestamp) -> Option<Timestamp> {
        self.0.map(|seconds| now.minus(seconds))
    }

    /// The checks that a live `token` of `owner` passes at `now`, in their order.
    pub(crate) fn checks(self, token: &Token, owner: &User, now: Timestamp) -> [LifeCheck; 4] {
        let never = |failure, at: Option<_>| LifeCheck { failure, at, passed: at.is_none() };
        let before = |failure, at: Option<_>| LifeCheck {
            failure,
            at,
            passed: at.is_none_or(|end| now < end),
        };
        [
            never(NotLive::Revoked, token.revoked_at),
            before(NotLive::Expired, token.expires_at),
            before(NotLive::TooOld, self.end(token.ages_from(), None)),
            never(NotLive::OwnerDisabled, owner.disabled_at),
        ]
    }

    /// Checks that `token` of `owner` is live at `now`. Returns the time when it expires, if it does.
    ///
    /// # Errors
    /// [`NotLive`] says why it is not live.
    pub fn check(
        self,
        token: &Token,
        owner: &User,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, NotLive> {
        match self.checks(token, owner, now).into_iter().find(|check| !check.passed) {
            Some(check) => Err(check.failure),
            None => Ok(self.end(token.ages_from(), token.expires_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Abilities, Email, Name, TokenKind};
    use super::*;

    #[test]
    fn the_earlier_bound_ends_a_token() {
        let at = Timestamp::from_unix;
        for (ttl, expires_at, end) in [
            (Lifetime::NEVER, None, None),
            (Lifetime::NEVER, Some(at(150)), Some(at(150))),
            (Lifetime::seconds(60), None, Some(at(160))),
            (Lifetime::seconds(60), Some(at(150)), Some(at(150))),
            (Lifetime::seconds(60), Some(at(170)), Some(at(160))),
        ] {
            assert_eq!(ttl.end(at(100), expires_at), end);
        }
    }

    #[test]
    fn a_token_is_live_while_nothing_has_ended_it() {
        let at = Timestamp::from_unix;
        let token = |expires_at, revoked_at| Token {
            id: 1,
            kind: TokenKind::Login,
            bond: None,
            name: Name::from_stored("x".to_owned()),
            abilities: Abilities::all(),
            created_at: at(100),
            last_used_at: None,
            expires_at,
            revoked_at,
        };
        let owner = |disabled_at| User {
            id: 1,
            name: Name::from_stored("x".to_owned()),
            email: Email::from_stored("x".to_owned()),
            abilities: Abilities::all(),
            admin: false,
            disabled_at,
            created_at: at(0),
            updated_at: at(0),
        };
        let ttl = Lifetime::seconds(60);
        for (token, owner, now, verdict) in [
            (token(None, None), owner(None), 159, Ok(Some(at(160)))),
            (token(None, None), owner(None), 160, Err(NotLive::TooOld)),
            (token(Some(at(150)), None), owner(None), 149, Ok(Some(at(150)))),
            (token(Some(at(150)), None), owner(None), 150, Err(NotLive::Expired)),
            (token(None, Some(at(120))), owner(None), 110, Err(NotLive::Revoked)),
            (token(None, None), owner(Some(at(120))), 110, Err(NotLive::OwnerDisabled)),
        ] {
            assert_eq!(ttl.check(&token, &owner, at(now)), verdict, "{now}");
        }
    }
}
