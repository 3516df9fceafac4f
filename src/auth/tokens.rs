use std::time::Duration;

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::{Actor, Auth, AuthorizedToken, Error, Issued, Session, TokenRequest};
use crate::domain::{
    Abilities, Email, Name, PlainToken, PresentedToken, Timestamp, Token, Ungranted, User,
    ValidationErrors,
};
use crate::metrics::TokenEvent;
use crate::store::{Insertion, NewToken, Page, Purge, Purged, Stored};

impl Auth {
    /// Issues an operator token for the user with this email.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a user; [`Error::Invalid`] if more abilities are requested
    /// than the user has, or the user has reached `max_tokens_per_user`; [`Error::Busy`] and the like.
    pub async fn issue(&self, email: Email, request: TokenRequest) -> Result<Issued, Error> {
        let (plain, token) = self.generate_token(request);
        let now = token.created_at;
        let insertion = self.0.store.insert_token_for_email(email, token, self.0.quota).await?;
        let stored = self.finish_insertion(insertion, now)?;
        let (token, _) = stored.ok_or(Error::NotFound("user"))?;
        self.0.metrics.count_token_events(TokenEvent::Issued, 1);
        Ok(Issued { plain, token })
    }

    /// Generates a token's string, and the record to store.
    pub(super) fn generate_token(&self, request: TokenRequest) -> (PlainToken, NewToken) {
        // It panics if the operating system has no random numbers: no token can be issued then.
        let plain = PlainToken::generate(&self.0.prefix, &mut UnwrapErr(SysRng));
        let now = self.now();
        let token = NewToken {
            name: request.name,
            hash: plain.hash(),
            abilities: request.abilities,
            created_at: now,
            expires_at: request.expires_in.map(|seconds| now.plus(seconds)),
        };
        (plain, token)
    }

    /// Issues a personal access token for the owner of a token, the issuer. It gets the abilities that are
    /// requested, which the issuer must have, or else the issuer's list. Unless the issuer is a login token, the
    /// new token is bound to it: it is revoked with its issuer and never expires later.
    ///
    /// # Errors
    /// Those of [`Actor`]; [`Error::Invalid`] if more abilities or a later expiry are requested than the issuer
    /// has, none are requested and the issuer has more than a token can hold, or the user has reached
    /// `max_tokens_per_user`; [`Error::TooManyAttempts`] beyond 60 tokens a minute; [`Error::Busy`] and the like.
    pub async fn issue_by_token(
        &self,
        bearer: &AuthorizedToken,
        request: TokenRequest,
    ) -> Result<(Issued, User), Error> {
        let (plain, token) = self.generate_token(request);
        let (issuer, now) = (self.acting_token(bearer), token.created_at);
        self.0.issues.count(bearer.user.id, now)?;
        let insertion = self.0.store.insert_token_by_token(issuer, token, self.0.quota).await;
        // An attempt with a full quota counts, because it takes the writer's time.
        if !matches!(insertion, Ok(Insertion::Done(..) | Insertion::Full(_))) {
            self.0.issues.give_back(bearer.user.id, now);
        }
        let (token, owner) = self.finish_insertion(insertion?, now)?.ok_or(Error::InvalidToken)?;
        self.0.metrics.count_token_events(TokenEvent::Issued, 1);
        Ok((Issued { plain, token }, owner))
    }

    /// Returns the token that was stored and its owner; `None` if there is no owner. It was generated at `now`.
    pub(super) fn finish_insertion(
        &self,
        outcome: Insertion,
        now: Timestamp,
    ) -> Result<Option<(Token, User)>, Error> {
        match outcome {
            Insertion::Done(stored) => {
                let Stored { token, owner, revoked } = *stored;
                self.0.metrics.count_token_events(TokenEvent::Revoked, revoked);
                Ok(Some((token, owner)))
            }
            Insertion::NoOwner => Ok(None),
            Insertion::Ungranted(ungranted) => Err(explain_ungranted(ungranted, now)),
            Insertion::Full(most) => {
                let text = format!(
                    "The user has {most} live tokens, the most that max_tokens_per_user allows: revoke \
                     one first."
                );
                Err(Error::Invalid(ValidationErrors::one("tokens", text)))
            }
        }
    }

    /// Renames one of the token owner's tokens.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, it is revoked, or it belongs to another user;
    /// those of [`Actor`]; [`Error::Busy`] and the like.
    pub async fn rename(
        &self,
        by: &AuthorizedToken,
        token_id: i64,
        name: Name,
    ) -> Result<Token, Error> {
        let (acting, owner) = (self.acting_token(by), by.user.id);
        let renamed = self.0.store.rename_token(acting, token_id, owner, name).await?;
        renamed.ok_or(Error::NotFound("token"))
    }

    /// A page of a user's live tokens, newest first: `page` counts from 1.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn tokens_of(
        &self,
        user_id: i64,
        page: i64,
        per_page: i64,
    ) -> Result<Page<Token>, Error> {
        let offset = (page - 1).saturating_mul(per_page);
        let (ttl, now) = (self.0.ttl, self.now());
        Ok(self.0.store.live_tokens_of(user_id, ttl, now, offset, per_page).await?)
    }

    /// The tokens with ids above `after`, a thousand at most, in the order of their ids, each with its owner;
    /// those of one user, if an email is given. Dead tokens are included until they are purged. To list all,
    /// ask again with the last id until there are no more. Each thousand is read in a transaction of its own.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn tokens_after(
        &self,
        after: i64,
        email: Option<&Email>,
    ) -> Result<Vec<(Token, User)>, Error> {
        Ok(self.0.store.tokens_after(after, email).await?)
    }

    /// Revokes a token and the tokens bound to it, if it belongs to `owner`, or to any user if that is `None`.
    /// Returns how many were revoked.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, it is revoked already, or it belongs to another user;
    /// those of [`Actor`]; [`Error::Busy`] and the like.
    pub async fn revoke(
        &self,
        by: Actor<'_>,
        token_id: i64,
        owner: Option<i64>,
    ) -> Result<usize, Error> {
        let acting = self.acting_token_of(by);
        match self.0.store.revoke_token(acting, token_id, owner, self.now()).await? {
            0 => Err(Error::NotFound("token")),
            revoked => {
                self.0.metrics.count_token_events(TokenEvent::Revoked, revoked);
                Ok(revoked)
            }
        }
    }

    /// Revokes the token with this string and what is bound to it, also if it has expired or its owner is
    /// disabled: it never passes again, even if its owner is enabled or `token_ttl` is raised. An unknown or
    /// malformed token is a success too (RFC 7009, section 2.2).
    ///
    /// # Errors
    /// Those of [`Actor`]; [`Error::Busy`] and the like.
    pub async fn revoke_sent(&self, by: &AuthorizedToken, token: &[u8]) -> Result<(), Error> {
        let Ok(presented) = PresentedToken::parse(token, &self.0.prefix) else { return Ok(()) };
        let acting = self.acting_token(by);
        let revoked = self.0.store.revoke_presented(acting, presented, self.now()).await?;
        self.0.metrics.count_token_events(TokenEvent::Revoked, revoked);
        Ok(())
    }

    /// Revokes the session's own token and the tokens bound to it. It succeeds if the token is revoked already.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn log_out(&self, session: &Session) -> Result<(), Error> {
        // A token may always revoke itself.
        match self.revoke(Actor::Operator, session.token.id, Some(session.user.id)).await {
            Ok(_) => {
                session.set_revoked();
                Ok(())
            }
            Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Revokes all of a user's tokens except `except`. If that one is bound to another, it is revoked too.
    ///
    /// # Errors
    /// Those of [`Actor`]; [`Error::Busy`] and the like.
    pub async fn revoke_all(
        &self,
        by: Actor<'_>,
        owner: i64,
        except: Option<i64>,
    ) -> Result<(), Error> {
        let acting = self.acting_token_of(by);
        let revoked = self.0.store.revoke_tokens_of(acting, owner, except, self.now()).await?;
        self.0.metrics.count_token_events(TokenEvent::Revoked, revoked);
        Ok(())
    }

    /// Deletes the tokens that have been dead for `retention` or longer. `None` is the setting's value.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like; what was deleted until then stays deleted.
    pub async fn prune(&self, retention: Option<Duration>) -> Result<Purged, Error> {
        let retention = retention.unwrap_or(self.0.retention);
        Ok(self.0.store.purge(Purge::of(retention, self.0.ttl, self.now())).await?)
    }
}

/// The error for a token, generated at `now`, that exceeds its grant.
fn explain_ungranted(ungranted: Ungranted, now: Timestamp) -> Error {
    let (field, text) = match ungranted {
        Ungranted::Beyond(lacking) => {
            let names: Vec<_> = lacking.iter().collect();
            let names = names.join(", ");
            ("abilities", format!("The abilities field asks for more than is held: {names}."))
        }
        Ungranted::TooMany => {
            let most = Abilities::MOST;
            let text = "The abilities field is required: of all that may be given, name at most";
            ("abilities", format!("{text} {most}."))
        }
        Ungranted::Outlives(end) => {
            let left = end.as_unix().saturating_sub(now.as_unix());
            let text = "The expires_in field must not be greater than";
            ("expires_in", format!("{text} {left}: the token that issues this one ends then."))
        }
    };
    Error::Invalid(ValidationErrors::one(field, text))
}
