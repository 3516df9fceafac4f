use std::fmt;
use std::hash::{Hash, Hasher};

use rand::CryptoRng;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Random characters in a token: 40 out of 62 different ones give 238 bits.
const SECRET_LEN: usize = 40;
/// Hex digits of the CRC-32 after the random characters.
const CHECKSUM_LEN: usize = 8;

/// The longest string that can be a token: several times longer than any issuer's tokens.
const LONGEST: usize = 255;

/// The start of a token string, by which people and secret scanners recognize it: `bd_` by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPrefix(Box<str>);

/// A string is not a valid [`TokenPrefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("1 to 10 ASCII letters or digits and an underscore, such as bd_")]
pub struct PrefixError;

impl TokenPrefix {
    /// Parses a prefix: `^[A-Za-z0-9]{1,10}_$`.
    ///
    /// # Errors
    /// [`PrefixError`] if `text` does not match.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        match text.strip_suffix('_') {
            Some(stem)
                if (1..=10).contains(&stem.len())
                    && stem.bytes().all(|b| b.is_ascii_alphanumeric()) =>
            {
                Ok(Self(text.into()))
            }
            _ => Err(PrefixError),
        }
    }

    /// The prefix's characters, including the underscore.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TokenPrefix {
    fn default() -> Self {
        Self("bd_".into())
    }
}

/// A token's whole string. It has no `Display` and no `Serialize`, its `Debug` prints `[REDACTED]`, and it is
/// wiped when dropped.
#[derive(Debug)]
pub struct PlainToken(SecretString);

impl PlainToken {
    /// Generates a token: `prefix`, 40 random characters of `[A-Za-z0-9]`, and their CRC-32 (zlib's) as 8
    /// lower-case hex digits.
    pub fn generate(prefix: &TokenPrefix, rng: &mut impl CryptoRng) -> Self {
        let capacity = prefix.as_str().len() + SECRET_LEN + CHECKSUM_LEN;
        let mut text = String::with_capacity(capacity);
        text.push_str(prefix.as_str());
        append_alphanumeric(&mut text, SECRET_LEN, rng);
        let checksum = checksum(&text.as_bytes()[prefix.as_str().len()..]);
        // The capacity is enough, so the string is not reallocated: that would leave a copy of the secret.
        text.extend(checksum.iter().copied().map(char::from));
        Self(text.into())
    }

    /// The token's string. Only the response that creates the token may contain it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The digest, which is stored instead of the token.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.expose().as_bytes())
    }
}

/// Appends `count` random characters of `[A-Za-z0-9]`, uniformly distributed.
///
/// It requests 64 bytes at a time. With a request for each character, the 40 system calls took half the time
/// of issuing a token.
fn append_alphanumeric(text: &mut String, count: usize, rng: &mut impl CryptoRng) {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut drawn = Zeroizing::new([0; 64]);
    let end = text.len() + count;
    while text.len() < end {
        rng.fill_bytes(&mut *drawn);
        // Six bits give a number below 64. Numbers without a character are skipped, not wrapped, so that all
        // characters stay equally likely.
        let characters = drawn.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
        text.extend(characters.take(end - text.len()).copied().map(char::from));
    }
}

/// The SHA-256 of a token's string, which is stored and looked up. Comparison takes constant time.
#[derive(Clone, Copy, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The digest of a token's whole string.
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Reads back a stored digest; `None` unless it has 32 bytes.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // A digest is uniformly distributed, so any eight bytes of it are a good hash.
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[DIGEST]")
    }
}

/// A string that a client sent as a bearer token, parsed but not looked up yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentedToken {
    /// The digest to look up.
    pub hash: TokenHash,
    /// The id that the token must have; only the Sanctum form contains it.
    pub id: Option<i64>,
}

/// A string can't be an issued token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no issued token looks like this")]
pub struct Malformed;

impl PresentedToken {
    /// Parses a token string.
    ///
    /// A string that begins with `prefix` or the default prefix must have the right length, alphabet and
    /// checksum. `{digits}|{secret}` is Laravel Sanctum's form: the token's id, and the string whose digest
    /// is stored. Any other string may have been issued under an earlier prefix.
    ///
    /// # Errors
    /// [`Malformed`] for a string that can be refused without a look-up.
    pub fn parse(token: &[u8], prefix: &TokenPrefix) -> Result<Self, Malformed> {
        if token.is_empty() || token.len() > LONGEST {
            return Err(Malformed);
        }
        let known =
            token.strip_prefix(prefix.as_str().as_bytes()).or_else(|| token.strip_prefix(b"bd_"));
        if let Some(body) = known {
            if !is_own_body(body) {
                return Err(Malformed);
            }
        } else if let Some(bar) = token.iter().position(|&b| b == b'|') {
            return match (parse_id(&token[..bar]), &token[bar + 1..]) {
                (None, _) | (_, []) => Err(Malformed),
                (id, secret) => Ok(Self { hash: TokenHash::of(secret), id }),
            };
        }
        Ok(Self { hash: TokenHash::of(token), id: None })
    }

    /// Whether the row found by the digest has the right id. Only the Sanctum form requires one.
    pub fn names(&self, row: i64) -> bool {
        self.id.is_none_or(|id| id == row)
    }
}

fn is_own_body(body: &[u8]) -> bool {
    body.len() == SECRET_LEN + CHECKSUM_LEN
        && body.iter().all(u8::is_ascii_alphanumeric)
        && body[SECRET_LEN..] == checksum(&body[..SECRET_LEN])
}

/// Parses a row's id: only decimal digits, within the range of `i64`.
fn parse_id(digits: &[u8]) -> Option<i64> {
    let text = str::from_utf8(digits).ok()?;
    digits.iter().all(u8::is_ascii_digit).then(|| text.parse().ok())?
}

fn checksum(secret: &[u8]) -> [u8; CHECKSUM_LEN] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let crc = crc32fast::hash(secret);
    std::array::from_fn(|i| HEX[(crc >> (28 - 4 * i)) as usize & 0xf])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn parse(token: &str) -> Result<PresentedToken, Malformed> {
        PresentedToken::parse(token.as_bytes(), &TokenPrefix::parse("acme_").unwrap())
    }

    fn generate(prefix: &str, seed: u64) -> PlainToken {
        let prefix = TokenPrefix::parse(prefix).unwrap();
        PlainToken::generate(&prefix, &mut StdRng::seed_from_u64(seed))
    }

    #[test]
    fn the_checksum_is_zlibs_crc_32() {
        // The check value that every catalogue of CRCs gives for CRC-32/ISO-HDLC.
        assert_eq!(&checksum(b"123456789"), b"cbf43926");
        assert_eq!(&checksum(b""), b"00000000");
    }

    #[test]
    fn a_prefix_is_letters_or_digits_and_an_underscore() {
        for good in ["bd_", "A1_", "abcdefghij_"] {
            assert!(TokenPrefix::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "_", "bd", "b-d_", "bd__", "abcdefghijk_", "é_", "bd_ ", " bd_"] {
            assert!(TokenPrefix::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn broken_strings_are_refused_without_a_look_up() {
        let body = "x".repeat(40);
        for token in [
            "",
            "|",
            "|x",
            "1ABC|x",
            "1ABC|",
            "1,2|x",
            "1|",
            "-1|x",
            "+1|x",
            " 1|x",
            "99999999999999999999|x",
            "9223372036854775808|x",
            "bd_",
            "bd_short",
            "acme_short",
            &format!("bd_{body}00000000"),
            &format!("bd_{body}"),
            &format!("bd_{}!00000000", &body[1..]),
        ] {
            assert_eq!(parse(token), Err(Malformed), "{token}");
        }
    }

    #[test]
    fn the_sanctum_form_names_its_row_and_stands_for_its_secret() {
        let secret = TokenHash::of(b"se|cret");
        assert_eq!(parse("17|se|cret"), Ok(PresentedToken { hash: secret, id: Some(17) }));
        assert_eq!(parse("017|se|cret").unwrap().id, Some(17));
    }

    #[test]
    fn no_token_is_printed() {
        let token = generate("bd_", 1);
        assert!(!format!("{token:?} {:?}", token.hash()).contains(token.expose()));
    }

    proptest! {
        #[test]
        fn every_issued_token_is_a_b64token_that_is_read_back(seed: u64, prefix in "[A-Za-z0-9]{1,10}_") {
            let token = generate(&prefix, seed);
            let text = token.expose();
            prop_assert_eq!(text.len(), prefix.len() + 48);
            // RFC 6750, 2.1
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b)));
            let known = TokenPrefix::parse(&prefix).unwrap();
            let expected = Ok(PresentedToken { hash: token.hash(), id: None });
            prop_assert_eq!(PresentedToken::parse(text.as_bytes(), &known), expected);
            prop_assert_eq!(parse(text), expected, "issued under an earlier prefix");
        }

        #[test]
        fn one_wrong_character_is_caught(seed: u64, at in 3usize..51, with in "[A-Za-z0-9]") {
            let mut text = generate("bd_", seed).expose().to_owned();
            prop_assume!(text[at..=at] != with);
            text.replace_range(at..=at, &with);
            prop_assert_eq!(parse(&text), Err(Malformed));
        }

        #[test]
        fn no_bytes_make_the_parser_fail(bytes: Vec<u8>) {
            let _ = PresentedToken::parse(&bytes, &TokenPrefix::default());
        }
    }
}
