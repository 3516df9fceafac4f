//! Token strings and prefixes. A string that is accepted is looked up by the right digest, an issued token is
//! read back, and one with a changed character is refused without a look-up.
#![no_main]

use bearerd::domain::{PresentedToken, TokenHash, TokenPrefix};
use libfuzzer_sys::fuzz_target;

// The first line is the prefix of the settings, the rest the token.
fuzz_target!(|data: &[u8]| {
    let line = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let prefix = String::from_utf8_lossy(&data[..line]);
    let prefix = TokenPrefix::parse(&prefix).unwrap_or_default();
    assert_eq!(TokenPrefix::parse(prefix.as_str()).as_ref(), Ok(&prefix));
    let token = data.get(line + 1..).unwrap_or_default();
    accepts_only_what_may_be_stored(token, &prefix);
    let own = issue(token, &prefix);
    let read = PresentedToken::parse(own.as_bytes(), &prefix).expect("an issued token");
    assert_eq!((read.hash, read.id), (TokenHash::of(own.as_bytes()), None));
    let (at, by) = (data.len() % 48, data.first().copied().unwrap_or_default());
    let mut wrong = own.into_bytes();
    let end = wrong.len();
    wrong[end - 48 + at] ^= (by & 0x7f).max(1);
    assert!(PresentedToken::parse(&wrong, &prefix).is_err());
    assert!(PresentedToken::parse(&wrong[..end - 1], &prefix).is_err());
});

fn accepts_only_what_may_be_stored(token: &[u8], prefix: &TokenPrefix) {
    let Ok(read) = PresentedToken::parse(token, prefix) else { return };
    assert!((1..=255).contains(&token.len()));
    match read.id {
        None => assert_eq!(read.hash, TokenHash::of(token)),
        Some(id) => {
            let bar = token.iter().position(|&byte| byte == b'|').expect("the form id|secret");
            assert_eq!(read.hash, TokenHash::of(&token[bar + 1..]));
            let digits = String::from_utf8_lossy(&token[..bar]);
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            assert!(is_plain && digits.trim_start_matches('0').parse().unwrap_or(0) == id);
            assert!(read.names(id) && !read.names(id ^ 1));
        }
    }
    if token.starts_with(prefix.as_str().as_bytes()) {
        assert_eq!((read.id, token.len()), (None, prefix.as_str().len() + 48));
    }
}

/// A token as `PlainToken::generate` makes it, with the input for its random characters.
fn issue(input: &[u8], prefix: &TokenPrefix) -> String {
    let letters =
        input.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(|&byte| byte as char);
    let secret: String = letters.chain(std::iter::repeat('x')).take(40).collect();
    format!("{}{secret}{:08x}", prefix.as_str(), crc32(secret.as_bytes()))
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
