use std::net::IpAddr;

use super::tokens::stored;
use super::{Auth, Error, Issued, TokenRequest};
use crate::actors::Verified;
use crate::domain::{Email, Password, User};
use crate::metrics::{Fate, Login};

/// Who somebody claims to be.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Their email.
    pub email: Email,
    /// Their password.
    pub password: Password,
}

impl Auth {
    /// Issues a token for an email and a password, sent `from` this address.
    ///
    /// Of one email from one address no more attempts a minute than the setting says get as far as
    /// the database and the hash, and ten times as many of one address; a success clears those of
    /// its email and address.
    ///
    /// A wrong password, an unknown email and a disabled user give the same error after the same
    /// time. A hash of another cost than the setting's is replaced.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`]; [`Error::WrongCredentials`]; [`Error::Invalid`] if more
    /// abilities are asked for than the user has; [`Error::Busy`] and the like.
    pub async fn log_in(
        &self,
        credentials: Credentials,
        request: TokenRequest,
        from: IpAddr,
    ) -> Result<(Issued, User), Error> {
        let result = self.try_log_in(credentials, request, from).await;
        match &result {
            Ok(_) => {
                self.0.metrics.login(Login::Success);
                self.0.metrics.tokens(Fate::Issued, 1);
            }
            Err(Error::TooManyAttempts { .. }) => self.0.metrics.login(Login::Limited),
            Err(Error::WrongCredentials) => self.0.metrics.login(Login::Refused),
            Err(Error::Invalid(_)) => self.0.metrics.login(Login::Invalid),
            Err(_) => self.0.metrics.login(Login::Failed),
        }
        result
    }

    async fn try_log_in(
        &self,
        credentials: Credentials,
        request: TokenRequest,
        from: IpAddr,
    ) -> Result<(Issued, User), Error> {
        let attempts = async {
            // A login beside this one may have replaced the password's hash while it was checked:
            // then it is checked once more, against the new one.
            for _ in 0..2 {
                if let Some(logged_in) = self.attempt(&credentials, request.clone()).await? {
                    return Ok(logged_in);
                }
            }
            Err(Error::WrongCredentials)
        };
        self.limited(&credentials.email, from, attempts).await
    }

    /// Counts an attempt to guess the password that goes with an email. A success clears those of
    /// the email and address; one that was turned away told nobody anything, and doesn't count.
    pub(super) async fn limited<T>(
        &self,
        email: &Email,
        from: IpAddr,
        attempt: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        // Before anything is spent on it, and before others can be under way uncounted.
        let at = self.now();
        self.0.limiter.count(email, from, at)?;
        let result = attempt.await;
        match &result {
            Ok(_) => self.0.limiter.clear(email, from),
            Err(Error::Busy | Error::Unavailable(_)) => self.0.limiter.give_back(email, from, at),
            Err(_) => {}
        }
        result
    }

    /// One attempt; `None` if the password's hash changed while it was checked.
    async fn attempt(
        &self,
        credentials: &Credentials,
        request: TokenRequest,
    ) -> Result<Option<(Issued, User)>, Error> {
        let Credentials { email, password } = credentials.clone();
        let account = self.0.store.account_by_email(&email).await?;
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        let verified = self.0.hasher.verify(password, hash).await?;
        let account = account.filter(|account| account.user.disabled_at.is_none());
        let (Some(account), Verified::Yes | Verified::Outdated(_)) = (account, &verified) else {
            return Err(Error::WrongCredentials);
        };
        let mut hash = account.password_hash;
        if let Verified::Outdated(new) = verified {
            let replaced =
                self.0.store.replace_password_hash(account.user.id, hash.clone(), new.clone());
            match replaced.await {
                Ok(true) => hash = new,
                Ok(false) => return Ok(None),
                // The old one stays good, and the next login tries again.
                Err(error) => log::warn!("a password's hash was not replaced: {error}"),
            }
        }
        let (plain, token) = self.draw(request);
        let stored =
            stored(self.0.store.insert_token_for_login(account.user.id, hash, token).await?)?;
        Ok(stored.map(|(token, user)| (Issued { plain, token }, user)))
    }
}
