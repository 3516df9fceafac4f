//! Strict and loose comparison of requests with rules, because servers differ. nginx distinguishes upper and
//! lower case in paths, Caddy does not. Windows drops dots and spaces at the end of a file name, and treats
//! the text after a colon as a part of the file. macOS ignores normalization. Some servers accept `get`.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_compatible;

use super::super::printable::is_ignorable;

/// How strictly a request is compared with a rule. A strict match is always a loose match too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// Character by character.
    Strict,
    /// At least as loosely as any server.
    Loose,
}

/// The segment in NFKD, which replaces compatibility characters by plain ones, without invisible characters.
fn plain(segment: &str) -> Cow<'_, str> {
    match segment.is_ascii() {
        true => segment.into(),
        false => segment.nfkd().filter(|c| !is_ignorable(*c)).collect(),
    }
}

/// Whether a non-ASCII character becomes a delimiter of paths, or a dot, in an application that normalizes to
/// NFKC or NFKD (`／`, `℀`, `．`, `…`) or uses a Windows code page. There, a path with such a character would
/// name another resource.
pub(super) fn folds_to_delimiter(c: char) -> bool {
    let mut folds = false;
    if !c.is_ascii() {
        folds = BEST_FIT.contains(&c);
        decompose_compatible(c, |part| folds |= "/\\;?#%.".contains(part));
    }
    folds
}

/// The characters that Windows replaces by `/`, `\` or `%` if a code page lacks them ("best fit"), although
/// Unicode does not: `⁄`, `∕`, `∖`, `¥`, `₩`, `٪`.
const BEST_FIT: [char; 6] = ['\u{2044}', '\u{2215}', '\u{2216}', '\u{a5}', '\u{20a9}', '\u{66a}'];

/// Appends the folded segment: in lower case, without whitespace around it, dots at its end, or a colon and
/// the text after it. Two segments that any server treats as the same are the same folded. Folding more than
/// any one server does is safe: the loose comparison must only find every match that some server finds.
pub(super) fn fold_into(folded: &mut String, segment: &str) {
    let segment = plain(segment);
    let name = segment.split(':').next().unwrap_or_default();
    for c in name.trim_start().trim_end_matches(is_dot_or_blank).chars() {
        if c.is_ascii() {
            folded.push(c.to_ascii_lowercase());
            continue;
        }
        // To lower case first, which turns the Kelvin sign into k, then through upper case, which turns ı
        // and ſ into I and S.
        let upper = c.to_lowercase().flat_map(char::to_uppercase);
        for c in upper.flat_map(char::to_lowercase) {
            // Some servers read İ as i with a dot above, others as i.
            if !(c == '\u{307}' && folded.ends_with('i')) {
                folded.push(c);
            }
        }
    }
}

/// Whether a segment, or its part before a colon, consists of dots and whitespace. Some systems read such a
/// segment as `.` or `..`. Next to dots or whitespace, `+` is treated as a space, because some applications
/// decode it so. A segment of `+` only is a name.
pub(super) fn is_dots_and_blanks(segment: &str) -> bool {
    let name = segment.split(':').next().unwrap_or_default();
    let is_blank = |c| c == '+' || is_dot_or_blank(c);
    name.contains(|c| c != '+') && plain(name).trim_end_matches(is_blank).is_empty()
}

fn is_dot_or_blank(c: char) -> bool {
    c == '.' || c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fold(segment: &str) -> String {
        let mut folded = String::new();
        fold_into(&mut folded, segment);
        folded
    }

    #[test]
    fn what_some_server_takes_for_another_is_folded_into_one() {
        for (one, other) in [
            ("admin", "ADMIN"),
            ("admin", "admİn"),
            ("admin", "admın"),
            ("kiosk", "\u{212a}iosk"),
            ("status", "\u{17f}tatu\u{17f}"),
            ("straße", "STRASSE"),
            ("straße", "STRA\u{1e9e}E"),
            ("ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ"),
            ("admin", "admin."),
            ("admin", "admin. ."),
            ("admin", " \u{a0}admin"),
            ("i\u{307}", "İ"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("admin", "\u{ff41}dmin"),
            ("admin", "ad\u{200b}min"),
            ("admin", "ad\u{fe0f}min\u{e0100}"),
            ("admin", "admin::$INDEX_ALLOCATION"),
            ("admin", "admin\u{fe13}stream"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        for (one, other) in [("admin", "admim"), ("admin", ".admin"), ("a", "ä")] {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn every_character_that_normalises_to_a_delimiter_is_known() {
        let is_delimiter = |c: char| "/\\;?#%.".contains(c);
        let cased = |c: char| c.to_lowercase().chain(c.to_uppercase());
        let mut known = 0;
        // The other planes have only unassigned or private characters.
        for c in ('\u{80}'..='\u{3ffff}').chain('\u{e0000}'..='\u{e0fff}') {
            let folds = std::iter::once(c).chain(cased(c)).any(|c| {
                let c = std::iter::once(c);
                c.clone().nfkd().flat_map(cased).any(is_delimiter)
                    || c.nfkc().flat_map(cased).any(is_delimiter)
            });
            let expected = folds || BEST_FIT.contains(&c);
            assert_eq!(folds_to_delimiter(c), expected, "{c} U+{:04X}", u32::from(c));
            known += usize::from(folds);
        }
        assert!(known > 50, "{known}");
    }

    proptest! {
        #[test]
        fn folding_ignores_the_case_whatever_the_letters(segment in "\\PC{0,8}[a-z]") {
            prop_assume!(!segment.contains(folds_to_delimiter));
            let folded = fold(&segment);
            prop_assert_eq!(fold(&segment.to_lowercase()), folded.clone());
            prop_assert!(!folded.is_empty() || plain(&segment).contains(':'));
            prop_assert!(!folded.contains('/') || segment.contains('/'));
        }
    }
}
