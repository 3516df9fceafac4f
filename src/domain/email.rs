use std::borrow::Cow;
use std::fmt;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::Serialize;
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{UnicodeNormalization, is_nfkc};
use unicode_security::{RestrictionLevel, RestrictionLevelDetection};

/// An email address. Two addresses are equal if they are spelled the same. To find out whether they name the
/// same user, compare their [keys](Email::key).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Email(Box<str>);

/// Why a string is not a valid [`Email`]. Each message continues "The email field …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// The text is empty.
    #[error("is required")]
    Empty,
    /// It has more than 254 bytes, the longest path in SMTP (RFC 5321, 4.5.3.1.3, without its brackets).
    #[error("must not be longer than 254 bytes")]
    TooLong,
    /// It is not `local@domain`.
    #[error("must be a valid email address, such as ada@example.org")]
    Malformed,
    /// The domain is not ASCII, and can't be registered or looked up as it is spelled.
    #[error(
        "must have a domain that is valid by UTS 46, such as bücher.example, without characters that \
         stand for others"
    )]
    Domain,
    /// It looks like another address.
    #[error(
        "must have letters and digits of one script before the @, and in each part of the domain, \
         without any that look like others (UTS 39)"
    )]
    Confusable,
}

impl Email {
    /// Parses a new address. The local part is an RFC 5321 dot-string (not quoted), the domain a host name;
    /// both may be international (RFC 6531). The text is trimmed and normalized to NFC, and `xn--…` labels
    /// of the domain are decoded. Apart from that, it is kept as given.
    ///
    /// An address that is not ASCII must not look like another one. So compatibility characters, invisible
    /// characters and parts that are not *Highly Restrictive* (UTS 39, section 5.2) are refused. A part
    /// entirely in another script, such as Cyrillic, is accepted, even if each of its letters looks like a
    /// Latin one.
    ///
    /// # Errors
    /// [`EmailError`] says which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = compose(text.trim());
        let (local, domain) = split(&text)?;
        let domain = decode(domain).ok_or(EmailError::Domain)?;
        if !(is_unmistakable(local) && domain.split('.').all(is_unmistakable)) {
            return Err(EmailError::Confusable);
        }
        let text = format!("{local}@{domain}");
        // Checked again, because decoding may have made it longer.
        split(&text)?;
        Ok(Self(text.into()))
    }

    /// Parses an address for looking up a user: `local@domain`, trimmed and otherwise as given. Its rules are
    /// looser than those of [`Email::parse`], because some users were created before those rules.
    ///
    /// # Errors
    /// [`EmailError`] if no user can have this address.
    pub fn claimed(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        split(text)?;
        Ok(Self(text.into()))
    }

    /// Reads back a stored address.
    pub fn from_stored(text: String) -> Self {
        Self(text.into_boxed_str())
    }

    /// The address's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The unique key of a user: the same for all spellings of an address, in upper or lower case, in any
    /// normalization form, and with the domain in Unicode or as `xn--…`. The key of an ASCII address is the
    /// address in lower case.
    pub fn key(&self) -> String {
        let parsed = Self::parse(&self.0);
        fold(parsed.as_ref().unwrap_or(self).as_str())
    }
}

/// The text in NFC. Two vowels of Thai and Lao are typed as one character that NFKC decomposes. They look
/// the same decomposed, so they are decomposed here; otherwise names with them would be refused.
fn compose(text: &str) -> String {
    text.replace('\u{e33}', "\u{e4d}\u{e32}").replace('\u{eb3}', "\u{ecd}\u{eb2}").nfc().collect()
}

/// The local part and the domain, if the ASCII characters of both are well-formed.
fn split(text: &str) -> Result<(&str, &str), EmailError> {
    if text.is_empty() {
        return Err(EmailError::Empty);
    }
    if text.len() > 254 {
        return Err(EmailError::TooLong);
    }
    let (local, domain) = text.rsplit_once('@').ok_or(EmailError::Malformed)?;
    let is_local = local.len() <= 64
        && local.split('.').all(|atom| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
            !atom.is_empty() && atom.chars().all(|c| allowed(c) || !c.is_ascii())
        });
    let is_domain = domain.split('.').all(|label| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && (label.len() <= 63 || !label.is_ascii())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| allowed(c) || !c.is_ascii())
    });
    if is_local && is_domain { Ok((local, domain)) } else { Err(EmailError::Malformed) }
}

/// The domain in Unicode, if it is valid in the DNS. A domain without `xn--…` labels stays as given.
fn decode(domain: &str) -> Option<Cow<'_, str>> {
    let (bytes, rules) = (domain.as_bytes(), AsciiDenyList::STD3);
    let hyphens = Hyphens::CheckFirstLast;
    Uts46::new().to_ascii(bytes, rules, hyphens, DnsLength::Verify).ok()?;
    let (unicode, valid) = Uts46::new().to_unicode(bytes, rules, hyphens);
    valid.ok()?;
    if domain.eq_ignore_ascii_case(&unicode) {
        return Some(domain.into());
    }
    // UTS 46 maps some characters to others, as NFKC does. Only changes of case are allowed here.
    let is_encoded =
        |label: &str| label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    let mut labels = domain.split('.').zip(unicode.split('.'));
    let same = labels.all(|(given, shown)| is_encoded(given) || fold(given) == fold(shown));
    same.then_some(unicode)
}

/// Whether a local part, or a label of a domain, doesn't look like another one.
fn is_unmistakable(part: &str) -> bool {
    const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];
    if part.is_ascii() {
        return true;
    }
    let is_letter = |c: char| c.is_alphanumeric() || is_combining_mark(c) || JOINERS.contains(&c);
    // Characters that UTS 46 maps, ignores or forbids in a domain are refused in a local part too. UTS 46
    // allows joiners only where a script needs them (RFC 5892, appendix A).
    let is_valid = |atom: &str| {
        let bytes = atom.as_bytes();
        let (mapped, valid) = Uts46::new().to_unicode(bytes, AsciiDenyList::EMPTY, Hyphens::Allow);
        atom.is_ascii() || (valid.is_ok() && fold(atom) == fold(&mapped))
    };
    // Two equal marks on a letter look like one. A dot above an i, which NFC keeps, is invisible.
    let repeats = part.nfd().zip(part.nfd().skip(1)).any(|(a, b)| a == b && is_combining_mark(a));
    // UTS 39 applies to identifiers, which have no punctuation.
    let is_word = |c: &char| c.is_ascii_alphanumeric() || !(c.is_ascii() || JOINERS.contains(c));
    let word: String = part.chars().filter(is_word).collect();
    part.chars().all(|c| c.is_ascii() || (is_letter(c) && is_distinct(c)))
        && is_nfkc(part)
        && !(repeats || part.contains('\u{307}'))
        && part.split('.').all(is_valid)
        && word.check_restriction_level(RestrictionLevel::HighlyRestrictive)
}

/// Whether a non-ASCII character stays non-ASCII in upper and lower case. A dotless i in upper case is an I:
/// an application that compares in upper case would confuse two emails.
fn is_distinct(c: char) -> bool {
    let mut upper = c.to_uppercase();
    let is_ascii_in_capitals =
        matches!((upper.next(), upper.next()), (Some(c), None) if c.is_ascii());
    !is_ascii_in_capitals && !c.to_lowercase().any(|c| c.is_ascii())
}

/// The text without differences of case. It goes through upper case, because sigma has two lower cases, and
/// first to lower case, because ẞ is an upper case of ß, whose own is SS.
fn fold(text: &str) -> String {
    let lower = text.chars().flat_map(char::to_lowercase);
    lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_told_from_other_strings() {
        for good in [
            "ada@example.org",
            "a.b+c@sub.example.co",
            "root@localhost",
            "o'neil@example.org",
            "ada@r3---sn-4g5e.example.org",
            " ada@example.org ",
        ] {
            assert_eq!(Email::parse(good).unwrap().as_str(), good.trim());
        }
        for bad in [
            "ada",
            "@example.org",
            "ada@",
            "a b@example.org",
            "ada@exa mple.org",
            "a@b@example.org",
            ".ada@example.org",
            "ada.@example.org",
            "a..b@example.org",
            "ada@-example.org",
            "ada@example..org",
            "ada@example.org.",
            "a\0b@example.org",
            "ada@exam\nple.org",
            "\"a b\"@example.org",
            "ada@[127.0.0.1]",
            "<ada@example.org>",
        ] {
            assert_eq!(Email::parse(bad).unwrap_err(), EmailError::Malformed, "{bad}");
            assert_eq!(Email::claimed(bad).unwrap_err(), EmailError::Malformed, "{bad}");
        }
        assert_eq!(Email::parse("").unwrap_err(), EmailError::Empty);
        let long = format!("a@{}.org", "x.".repeat(150));
        assert_eq!(Email::parse(&long).unwrap_err(), EmailError::TooLong);
    }

    #[test]
    fn addresses_of_every_script_are_accepted() {
        for good in [
            "jörg@bücher.example",
            "user@தமிழ்.இந்தியா",
            "பயனர்@தமிழ்.இந்தியா",
            "user@ไทย.ไทย",
            "ผู้ใช้@ตัวอย่าง.ไทย",
            "उपयोगकर्ता@उदाहरण.भारत",
            "ব্যবহারকারী@উদাহরণ.ভারত",
            "иван.петров+почта@пример.рф",
            "χρήστης@παράδειγμα.ελ",
            "用户@例子.广告",
            "ユーザーabc@例え.テスト",
            "사용자@예시.한국",
            "משתמש@דוגמה.ישראל",
            "مستخدم@مثال.السعودية",
            "user@نامه\u{200c}ای.ایران",
            "ကျော်@ဥပမာ.မြန်မာ",
            "straße@faß.de",
        ] {
            assert_eq!(Email::parse(good).map(|email| email.to_string()), Ok(good.to_owned()));
        }
    }

    #[test]
    fn look_alikes_are_refused() {
        use EmailError::{Confusable, Domain};
        for (bad, error) in [
            ("root@ｅxample.com", Domain),
            ("root@example。com", Domain),
            ("ｒoot@example.com", Confusable),
            ("rооt@example.com", Confusable),
            ("root@exаmple.com", Confusable),
            ("root@xn--exmple-4nf.com", Confusable),
            ("rοot@example.com", Confusable),
            ("\u{251}da@example.com", Confusable),
            ("ada①@example.com", Confusable),
            ("ﬁnn@example.com", Confusable),
            ("\u{17f}am@example.org", Confusable),
            ("adı@example.org", Confusable),
            ("ad\u{200d}a@example.org", Confusable),
            ("ada\u{200b}@example.org", Confusable),
            ("ada\u{fe0f}@example.org", Confusable),
            ("ada\u{ad}@example.org", Confusable),
            ("ada\u{34f}@example.org", Confusable),
            ("ada\u{202e}@example.org", Confusable),
            ("\u{301}ada@example.org", Confusable),
            ("bi\u{307}ll@example.org", Confusable),
            ("josé\u{301}@example.org", Confusable),
            ("b@li\u{307}on.example", Confusable),
            ("ada\u{3164}@example.org", Confusable),
            ("ada❤@example.org", Confusable),
            ("ada@i❤.example", Confusable),
            ("ada@ex\u{ad}ample.org", Domain),
            ("ada@xn--a.example", Domain),
        ] {
            assert_eq!(Email::parse(bad).unwrap_err(), error, "{bad}");
            assert!(Email::claimed(bad).is_ok(), "{bad}: an older account may have it");
        }
    }

    #[test]
    fn an_address_has_one_composed_and_decoded_form() {
        for (given, kept) in [
            ("Ada@Example.org", "Ada@Example.org"),
            ("jose\u{301}@example.org", "josé@example.org"),
            ("\u{212a}im@example.org", "Kim@example.org"),
            ("u@XN--bcher-kva.Example", "u@bücher.example"),
            ("u@BÜCHER.example", "u@bücher.example"),
            ("น้ำ@example.org", "น\u{e49}\u{e4d}\u{e32}@example.org"),
        ] {
            assert_eq!(Email::parse(given).map(|email| email.to_string()), Ok(kept.to_owned()));
            assert_eq!(Email::claimed(given).unwrap().as_str(), given);
        }
    }

    #[test]
    fn a_key_is_that_of_every_spelling() {
        for (one, other) in [
            ("Ada@Example.org", "ada@example.ORG"),
            ("JÖRG@example.org", "jo\u{308}rg@example.org"),
            ("u@BÜCHER.example", "u@xn--bcher-kva.example"),
            ("ΝΊΚΟΣ@example.org", "νίκος@example.org"),
            ("straße@example.org", "STRASSE@example.org"),
            ("straße@example.org", "STRAẞE@example.org"),
            ("root@ｅxample.com", "ROOT@ｅxample.com"),
        ] {
            assert_eq!(Email::claimed(one).unwrap().key(), Email::claimed(other).unwrap().key());
        }
        let key = |text: &str| Email::from_stored(text.to_owned()).key();
        assert_ne!(key("root@ｅxample.com"), key("root@example.com"));
        assert_eq!(key("No \x1b address"), "no \x1b address");
    }

    proptest! {
        #[test]
        fn an_accepted_address_is_accepted_as_itself(text in "\\PC{1,8}@\\PC{1,8}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert_eq!(Email::parse(email.as_str()), Ok(email.clone()));
                prop_assert_eq!(Email::from_stored(text).key(), email.key());
            }
        }

        #[test]
        fn the_key_of_an_ascii_address_is_its_lower_case(text in "[ -~]{0,12}@[ -~]{0,12}") {
            let key = Email::from_stored(text.clone()).key();
            let encoded = text.to_ascii_lowercase().contains("xn--");
            prop_assert!(encoded || key == text.trim().to_ascii_lowercase()
                || key == text.to_ascii_lowercase());
        }
    }
}
