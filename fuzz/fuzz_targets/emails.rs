//! Emails. All spellings of an address have one key, an accepted address is accepted as itself, and one that is
//! not ASCII turns into another user's by none of the foldings that applications use.
#![no_main]

use bearerd::domain::Email;
use libfuzzer_sys::fuzz_target;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let Ok(claimed) = Email::claimed(&text) else {
        // A user can log in with each address that a user can get.
        assert!(Email::parse(&text).is_err() || text.trim().len() > 254 || !is_short(&text));
        return;
    };
    let key = claimed.key();
    assert_eq!(Email::claimed(&claimed.to_string()).map(|email| email.key()).as_ref(), Ok(&key));
    assert_eq!(Email::from_stored(key.clone()).key(), key, "the key of a key");
    for spelling in
        [text.to_uppercase(), text.to_lowercase(), text.nfc().collect(), text.nfd().collect()]
    {
        // Another spelling may be too long.
        if let (Ok(other), true) = (Email::claimed(&spelling), is_settled(&text)) {
            assert_eq!(other.key(), key, "{text:?} {spelling:?}");
        }
    }
    let Ok(email) = Email::parse(&text) else { return };
    assert_eq!(email.key(), key);
    assert_eq!(Email::parse(email.as_str()).as_ref(), Ok(&email));
    assert_eq!(Email::claimed(email.as_str()).map(|email| email.key()), Ok(key));
    if email.as_str().is_ascii() {
        return;
    }
    let kept = email.as_str();
    assert!(kept.nfc().eq(kept.chars()) && kept.nfkc().eq(kept.chars()), "{kept:?}");
    for folded in [
        kept.to_uppercase(),
        kept.to_lowercase(),
        kept.to_uppercase().to_lowercase(),
        kept.to_lowercase().nfkc().collect(),
        kept.to_uppercase().nfkc().collect(),
        kept.chars().filter(|c| c.is_alphanumeric() || c.is_ascii() || is_combining_mark(*c)).collect(),
    ] {
        // ß becomes SS; then both must be the same user's.
        let same = || Email::claimed(&folded).is_ok_and(|folded| folded.key() == email.key());
        assert!(!folded.is_ascii() || same(), "{kept:?} {folded:?}");
    }
});

/// Whether an address is so short that no spelling of it is too long.
fn is_short(text: &str) -> bool {
    text.len() < 60
}

/// Whether the key is the same for each spelling: only addresses that bearerd accepts as new promise that.
fn is_settled(text: &str) -> bool {
    Email::parse(text).is_ok()
}
