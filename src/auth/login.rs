use std::net::IpAddr;

use super::{Auth, Error, Issued, TokenRequest};
use crate::actors::{Caller, Guess};
use crate::domain::{Email, Network, Password, PasswordHash, User};
use crate::metrics::{Login, TokenEvent};
use crate::store::UserWithHash;

/// An email and a password.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The email.
    pub email: Email,
    /// The password.
    pub password: Password,
}

impl Auth {
    /// Issues a token for an email and a password, sent `from` this address.
    ///
    /// `login_attempts_per_minute` limits the attempts with one email from one network (an IPv4 address, or an
    /// IPv6 /64). Ten times as many are allowed from one network, and with one email. Attempts beyond a
    /// limit reach neither the database nor bcrypt. A success clears the attempts with its email from its
    /// network, and exempts the network from the email's limit.
    ///
    /// A wrong password, an unknown email and a disabled user give the same error after the same
    /// rounds of bcrypt: those of the highest cost that is stored or configured. A login that
    /// succeeds replaces a hash of another cost than the setting's. At
    /// `max_tokens_per_user`, the login token that was used least recently is revoked.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`]; [`Error::WrongCredentials`]; [`Error::Invalid`] if more
    /// abilities are requested than the user has; [`Error::Busy`] and the like.
    pub async fn log_in(
        &self,
        credentials: Credentials,
        request: TokenRequest,
        from: IpAddr,
    ) -> Result<(Issued, User), Error> {
        let result = self.try_log_in(credentials, request, from).await;
        match &result {
            Ok(_) => {
                self.0.metrics.count_login(Login::Success);
                self.0.metrics.count_token_events(TokenEvent::Issued, 1);
            }
            Err(Error::TooManyAttempts { .. }) => self.0.metrics.count_login(Login::Limited),
            Err(Error::WrongCredentials) => self.0.metrics.count_login(Login::Refused),
            Err(Error::Invalid(_)) => self.0.metrics.count_login(Login::Invalid),
            Err(_) => self.0.metrics.count_login(Login::Failed),
        }
        result
    }

    async fn try_log_in(
        &self,
        credentials: Credentials,
        request: TokenRequest,
        from: IpAddr,
    ) -> Result<(Issued, User), Error> {
        let network = from.into();
        let attempts = async |caller: Caller| {
            let Credentials { email, password } = &credentials;
            let mut matched = None;
            // A concurrent login may have replaced the password's hash. Then the password is checked again,
            // against the new hash.
            for _ in 0..2 {
                let account = self.0.store.account_by_email(email).await?;
                let account = account.filter(|account| account.user.disabled_at.is_none());
                let hash = account.as_ref().map(|account| &account.password_hash);
                let right = self.is_password(caller, password, hash, matched.as_ref()).await?;
                let (Some(account), true) = (account, right) else {
                    return Err(Error::WrongCredentials);
                };
                let UserWithHash { user, password_hash } = account;
                let (plain, token) = self.generate_token(request.clone());
                let now = token.created_at;
                let (hash, quota) = (password_hash.clone(), self.0.quota);
                let insertion = self.0.store.insert_token_for_login(user.id, hash, token, quota);
                if let Some((token, user)) = self.finish_insertion(insertion.await?, now)? {
                    self.renew_hash(caller, user.id, password_hash, password).await;
                    return Ok((Issued { plain, token }, user));
                }
                matched = Some(password_hash);
            }
            Err(Error::WrongCredentials)
        };
        self.limit_attempts(&credentials.email, network, attempts).await
    }

    /// Counts an attempt to guess the password of an email. A success clears the attempts with the email
    /// from the network. An attempt that is answered with 503 reveals nothing, and counts only for the
    /// network.
    pub(super) async fn limit_attempts<T>(
        &self,
        email: &Email,
        network: Network,
        attempt: impl AsyncFnOnce(Caller) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // Counted first, so that concurrent attempts can't exceed the limit.
        let counted = self.0.limiter.count(email, network, self.now())?;
        let caller = match counted.is_known {
            true => Caller::KnownNetwork(network),
            false => Caller::Network(network),
        };
        let result = attempt(caller).await;
        match &result {
            Ok(_) => self.0.limiter.succeeded(counted),
            Err(Error::Busy | Error::Unavailable(_)) => self.0.limiter.turned_away(counted),
            Err(_) => {}
        }
        result
    }

    /// Whether a password matches a hash. `matched` is the hash that it matched in an earlier check of the
    /// same attempt; the rounds of that check count towards those of a failure.
    pub(super) async fn is_password(
        &self,
        caller: Caller,
        password: &Password,
        hash: Option<&PasswordHash>,
        matched: Option<&PasswordHash>,
    ) -> Result<bool, Error> {
        // A login that replaces a hash changes its cost. So another hash of the same cost belongs to
        // another password, and checking it would double the rounds of this attempt.
        let hash = hash.filter(|hash| matched.is_none_or(|matched| matched.cost() != hash.cost()));
        let guess = Guess {
            password: password.clone(),
            hash: hash.cloned(),
            highest_cost: self.0.store.highest_password_cost().await?,
            spent: matched.map_or(0, PasswordHash::rounds),
        };
        Ok(self.0.hasher.verify(caller, guess).await?)
    }

    /// Replaces the hash of a password that was right, if new hashes have another cost.
    async fn renew_hash(
        &self,
        caller: Caller,
        user_id: i64,
        old: PasswordHash,
        password: &Password,
    ) {
        if !self.0.hasher.is_outdated(&old) {
            return;
        }
        let renewed = async {
            let new = self.0.hasher.hash(caller, password.clone()).await?;
            Ok::<_, Error>(self.0.store.replace_password_hash(user_id, old, new).await?)
        };
        if let Err(error) = renewed.await {
            // The old hash stays valid, and the next login tries again.
            log::warn!("the password hash of user {user_id} was not replaced: {error}");
        }
    }
}
