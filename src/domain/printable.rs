//! Finds and escapes characters that are invisible or change how the text around them is shown.

use std::fmt;

/// Zero width non-joiner and joiner. Persian, the scripts of India and emoji need them.
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];
/// Invisible symbols: a Braille pattern without dots, and a null notehead.
const BLANK: [char; 2] = ['\u{2800}', '\u{1d159}'];

/// The first hidden character of a text: a control or format character, a separator other than a plain
/// space, an invisible character or an unassigned one. Joiners and variation selectors are allowed where they
/// can have an effect, which is never next to ASCII.
pub(super) fn first_hidden(text: &str) -> Option<char> {
    mark_hidden(text).find_map(|(c, hides)| hides.then_some(c))
}

/// Escapes a text for a terminal or a log: hidden characters are shown by their number, such as `\u{1b}`, and
/// a line break as `\n`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        mark_hidden(self.0).try_for_each(|(c, hides)| match hides {
            true => write!(f, "{}", c.escape_default()),
            false => write!(f, "{c}"),
        })
    }
}

/// The same JSON, with hidden characters escaped. They can occur only in strings.
pub fn escaped_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for (c, hides) in mark_hidden(json) {
        if hides && c != '\n' {
            let units = &mut [0; 2];
            text.extend(c.encode_utf16(units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(c);
        }
    }
    text
}

/// Whether a character is invisible by default (Unicode's Default_Ignorable_Code_Point). Some file systems,
/// and applications that normalize to NFKC_Casefold, drop such characters.
pub(super) fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Each character, and whether it is hidden in its place.
fn mark_hidden(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut before = None;
    let mut rest = text.chars();
    std::iter::from_fn(move || {
        let c = rest.next()?;
        let after = rest.clone().next();
        let joins = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && is_shown(c));
        let hides = match c {
            // A selector may come between the letter and the joiner. The next arm checks it.
            c if JOINERS.contains(&c) => {
                !((joins(before) || before.is_some_and(is_selector)) && joins(after))
            }
            c if is_selector(c) => !joins(before),
            c => !is_shown(c),
        };
        before = Some(c);
        Some((c, hides))
    })
}

/// Whether this is a variation selector. A second selector after a character has no effect.
fn is_selector(c: char) -> bool {
    matches!(
        c,
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}'
    )
}

/// Whether a character is visible in any place. It uses that the standard library's `Debug` escapes the
/// general categories C and Z, except for the plain space.
fn is_shown(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // After a letter, because `Debug` escapes a combining mark at the start too.
    let mut buffer = [b'a'; 5];
    let length = 1 + c.encode_utf8(&mut buffer[1..]).len();
    let is_kept = |text: &str| text.escape_debug().count() == 2;
    str::from_utf8(&buffer[..length]).is_ok_and(is_kept) && !is_ignorable(c) && !BLANK.contains(&c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_hides_is_told_from_what_a_script_needs() {
        for shown in [
            "Ada \"O'Neil\" \\ Jörg jose\u{301}",
            "நிமலன்",
            "علی\u{200c}رضا",
            "श्री\u{200d}मान्",
            "👩\u{200d}🚀 ❤\u{fe0f} 🏳\u{fe0f}\u{200d}🌈",
            "葛\u{e0100}城",
            "\u{1828}\u{180b}\u{1820}",
            "山田太郎",
        ] {
            assert_eq!(first_hidden(shown), None, "{shown}");
            assert_eq!(Escaped(shown).to_string(), shown);
        }
        for hidden in [
            '\0',
            '\n',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{a0}',
            '\u{ad}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2066}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{feff}',
            '\u{180b}',
            '\u{180f}',
            '\u{fe0f}',
            '\u{1d159}',
            '\u{e000}',
            '\u{e0041}',
            '\u{378}',
        ] {
            assert_eq!(first_hidden(&format!("a{hidden}b")), Some(hidden), "{hidden:?}");
        }
        assert_eq!(first_hidden("❤\u{fe0f}\u{fe01}"), Some('\u{fe01}'));
        assert_eq!(Escaped("a\u{1b}[31m\n\u{202e}").to_string(), "a\\u{1b}[31m\\n\\u{202e}");
    }

    #[test]
    fn every_character_that_is_not_displayed_hides_in_a_word() {
        for c in ('\0'..=char::MAX).filter(|&c| is_ignorable(c)) {
            assert_eq!(first_hidden(&format!("a{c}b")), Some(c), "U+{:04X}", u32::from(c));
        }
    }

    proptest! {
        #[test]
        fn nothing_hides_in_an_escaped_text(text in "\\PC{0,5}.{0,5}") {
            prop_assert_eq!(first_hidden(&Escaped(&text).to_string()), None);
        }

        #[test]
        fn escaped_json_says_the_same(text in ".{0,9}", other in any::<char>()) {
            let text = format!("{text}{other}");
            let json = escaped_json(&serde_json::to_string(&text).unwrap());
            prop_assert_eq!(first_hidden(&json), None);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
