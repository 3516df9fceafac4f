use std::ops::RangeInclusive;

use secrecy::{ExposeSecret, SecretString};

/// A password in plain text: at most 72 bytes, because bcrypt ignores any further ones. It has no `Display`
/// and no `Serialize`, its `Debug` prints `[REDACTED]`, and it is wiped when dropped.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

/// Why a string is not a valid [`Password`]. Each message continues "The password field …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The text is empty.
    #[error("is required")]
    Empty,
    /// A new password has fewer than 8 characters.
    #[error("must be at least 8 characters long")]
    TooShort,
    /// It has more than 72 bytes. bcrypt would truncate it silently.
    #[error("must not be longer than 72 bytes")]
    TooLong,
    /// It has a NUL, at which bcrypt would truncate it silently.
    #[error("must not contain a NUL character")]
    Nul,
}

impl Password {
    /// Parses a password for a check against a hash.
    ///
    /// # Errors
    /// [`PasswordError`] if no user can have this password.
    pub fn claimed(text: String) -> Result<Self, PasswordError> {
        let password = Self(text.into());
        match password.expose() {
            "" => Err(PasswordError::Empty),
            text if text.len() > 72 => Err(PasswordError::TooLong),
            text if text.contains('\0') => Err(PasswordError::Nul),
            _ => Ok(password),
        }
    }

    /// Parses a new password: 8 characters to 72 bytes.
    ///
    /// # Errors
    /// [`PasswordError`] says which rule it breaks.
    pub fn chosen(text: String) -> Result<Self, PasswordError> {
        let password = Self::claimed(text)?;
        match password.expose().chars().count() {
            0..8 => Err(PasswordError::TooShort),
            _ => Ok(password),
        }
    }

    /// The plain text. Only the hash function may use it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A bcrypt hash in modular crypt format: `$2a$`, `$2b$` or `$2y$`. Its `Debug` prints `[REDACTED]`.
#[derive(Clone, Debug)]
pub struct PasswordHash(SecretString);

impl PasswordHash {
    /// Wraps a hash. A text that is not a bcrypt hash is accepted, but matches no password.
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The costs that can be configured, and that stored hashes may have. Checking a hash with a higher cost
    /// could keep a thread busy for minutes.
    pub const COSTS: RangeInclusive<u32> = 4..=15;

    /// The cost of the hash: bcrypt runs 2^cost rounds. `None` if the text is not a bcrypt hash or the cost
    /// is outside [`COSTS`](Self::COSTS); such a hash matches no password.
    pub fn cost(&self) -> Option<u32> {
        let parts: bcrypt::HashParts = self.expose().parse().ok()?;
        Some(parts.get_cost()).filter(|cost| Self::COSTS.contains(cost))
    }

    /// How many rounds of bcrypt a check takes; 0 for a hash without a cost.
    pub fn rounds(&self) -> u64 {
        self.cost().map_or(0, |cost| 1 << cost)
    }

    /// The hash's text. Only the hash function and the store may use it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_bounded_by_what_bcrypt_reads() {
        use PasswordError::{Empty, Nul, TooLong, TooShort};
        for (text, claimed, chosen) in [
            (String::new(), Err(Empty), Err(Empty)),
            ("short".into(), Ok(()), Err(TooShort)),
            ("éééééééé".into(), Ok(()), Ok(())),
            ("x".repeat(72), Ok(()), Ok(())),
            ("x".repeat(73), Err(TooLong), Err(TooLong)),
            ("é".repeat(37), Err(TooLong), Err(TooLong)),
            ("abcdefgh\0".into(), Err(Nul), Err(Nul)),
        ] {
            assert_eq!(Password::claimed(text.clone()).map(drop), claimed, "{text:?}");
            assert_eq!(Password::chosen(text.clone()).map(drop), chosen, "{text:?}");
        }
    }

    #[test]
    fn no_secret_is_printed() {
        let password = Password::claimed("correct horse".into()).unwrap();
        let hash = PasswordHash::new("$2b$04$abcdef".into());
        let printed = format!("{password:?} {hash:?}");
        assert!(!printed.contains("horse") && !printed.contains("$2b$"), "{printed}");
    }
}
