use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::TokenKind;

/// The abilities that a wildcard in a personal or operator token doesn't cover: to issue tokens, change the
/// owner's account, administer, introspect tokens, and read the audit log. A leaked `*` token lacks them.
const RESERVED: [&str; 5] = ["tokens:write", "account:write", "admin", "introspect", "events:read"];

/// Why strings are not valid as [`Abilities`]. Each message continues "The abilities field …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbilityError {
    /// An ability is empty.
    #[error("must not contain an empty ability")]
    Empty,
    /// An ability has more than 100 characters.
    #[error("must not contain an ability longer than 100 characters")]
    TooLong,
    /// A character is not allowed in a scope-token of RFC 6750.
    #[error(
        "must contain abilities of printable ASCII alone, without space, double quote and backslash"
    )]
    Character,
    /// There are more than 100 abilities.
    #[error("must not contain more than 100 abilities")]
    TooMany,
}

/// The abilities granted to a token or a user: at most 100, in order, without repeats. An ability is an RFC
/// 6750 scope-token of 1 to 100 characters.
///
/// When granted, `*` covers every ability, and `posts:*` covers every ability that begins with `posts:`. For
/// the exceptions, see [`Abilities::held_by`].
///
/// They are stored as an RFC 6749 scope (one string, joined by spaces), which takes the least memory in the
/// token cache. Clones share the string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    scope: Arc<str>,
    /// Whether wildcards don't cover the reserved abilities.
    reserved_by_name: bool,
}

impl Abilities {
    /// The most abilities in a list.
    pub const MOST: usize = 100;

    /// Every ability: `["*"]`.
    pub fn all() -> Self {
        Self::from_scope("*")
    }

    /// Parses a list of abilities. Repeats are dropped.
    ///
    /// # Errors
    /// [`AbilityError`] if an ability is invalid, or there are more than 100.
    pub fn parse<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Self, AbilityError> {
        let mut kept: Vec<String> = Vec::new();
        for text in texts {
            let ability = text.as_ref();
            match ability.len() {
                0 => return Err(AbilityError::Empty),
                _ if !is_scope_token(ability) => return Err(AbilityError::Character),
                101.. => return Err(AbilityError::TooLong),
                _ if kept.iter().any(|other| other == ability) => {}
                _ if kept.len() == Self::MOST => return Err(AbilityError::TooMany),
                _ => kept.push(ability.to_owned()),
            }
        }
        Ok(Self::from_scope(kept.join(" ")))
    }

    /// Reads back a stored [`Abilities::as_scope`]. Text from another program that is not a valid ability is
    /// dropped: it could grant nothing, and no header could contain it.
    pub fn from_stored(scope: String) -> Self {
        if scope.split(' ').all(is_scope_token) {
            return Self::from_scope(scope);
        }
        let kept: Vec<_> = scope.split(' ').filter(|text| is_scope_token(text)).collect();
        Self::from_scope(kept.join(" "))
    }

    fn from_scope(scope: impl Into<Arc<str>>) -> Self {
        Self { scope: scope.into(), reserved_by_name: false }
    }

    /// The same list with the meaning that it has in a token of this kind. In a personal or operator token,
    /// a wildcard never covers `tokens:write`, `account:write`, `admin`, `introspect` and `events:read`; the
    /// list must name them. In a login token and in a user's list, wildcards cover every ability.
    #[must_use]
    pub fn held_by(self, kind: TokenKind) -> Self {
        Self { reserved_by_name: kind != TokenKind::Login, ..self }
    }

    /// The abilities as an RFC 6749 scope: joined by single spaces, empty for none.
    pub fn as_scope(&self) -> &str {
        &self.scope
    }

    /// Each ability, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.scope.split(' ').filter(|ability| !ability.is_empty())
    }

    /// Whether these abilities grant `ability`, by name or by a wildcard.
    pub fn grant(&self, ability: &str) -> bool {
        let by_name_alone = self.reserved_by_name && RESERVED.contains(&ability);
        self.iter().any(|granted| match by_name_alone {
            true => granted == ability,
            false => covers(granted, ability),
        })
    }

    /// Whether both lists share the same memory.
    pub fn share_memory(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.scope, &other.scope)
    }

    /// Whether both lists have the same text, even if their wildcards cover different abilities.
    pub fn has_same_text_as(&self, other: &Self) -> bool {
        self.scope == other.scope
    }

    /// The abilities in `asked` that these abilities don't grant.
    #[must_use]
    pub fn find_ungranted(&self, asked: &Self) -> Self {
        let ungranted: Vec<_> = asked.iter().filter(|ability| !self.grant(ability)).collect();
        Self::from_scope(ungranted.join(" "))
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.scope.is_empty()
    }

    /// The abilities that both lists grant: if a wildcard in one list covers an ability in the other, the
    /// covered one. If wildcards in either list don't cover the reserved abilities, nor do those in the result.
    #[must_use]
    pub fn shared_with(&self, other: &Self) -> Self {
        let narrower = self.iter().filter(|ability| other.grant(ability));
        let wider = other.iter().filter(|ability| self.grant(ability));
        let mut shared: Vec<&str> = narrower.collect();
        wider.for_each(|ability| {
            if !shared.contains(&ability) {
                shared.push(ability);
            }
        });
        let shared = shared.join(" ");
        // Nearly always the result equals one of the lists, and can share its memory.
        let held = [self, other].into_iter().find(|held| *held.scope == *shared);
        let scope = held.map_or_else(|| shared.into(), |held| held.scope.clone());
        Self { scope, reserved_by_name: self.reserved_by_name || other.reserved_by_name }
    }
}

/// Whether a text consists of the characters of a scope-token (RFC 6749, appendix A.4).
fn is_scope_token(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

/// Whether `granted` covers `ability`. A wildcard covers narrower wildcards too.
fn covers(granted: &str, ability: &str) -> bool {
    granted == ability
        || granted == "*"
        || granted
            .strip_suffix('*')
            .is_some_and(|stem| stem.ends_with(':') && ability.starts_with(stem))
}

impl fmt::Display for Abilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scope)
    }
}

impl Serialize for Abilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_ability_grants_itself_and_a_star_grants_what_it_stands_for() {
        for (granted, asked, expected) in [
            (vec!["posts:read"], "posts:read", true),
            (vec!["posts:read"], "posts:write", false),
            (vec!["posts:read"], "Posts:read", false),
            (vec!["posts:read"], "posts:rea", false),
            (vec!["posts:*"], "posts:read", true),
            (vec!["posts:*"], "posts:", true),
            (vec!["posts:*"], "posts", false),
            (vec!["posts:*"], "postscript:read", false),
            (vec!["post*"], "posts", false),
            (vec!["posts:*"], "posts:drafts:*", true),
            (vec!["*"], "anything", true),
            (vec!["foo", "*"], "anything", true),
            (vec![], "anything", false),
            (vec![":*"], ":x", true),
        ] {
            let abilities = Abilities::parse(&granted).unwrap();
            assert_eq!(abilities.grant(asked), expected, "{granted:?} {asked}");
        }
    }

    #[test]
    fn a_wildcard_leaves_reserved_abilities_out_unless_a_login_token_or_a_user_holds_it() {
        for (granted, asked, by_name) in [
            (vec!["*"], "tokens:write", false),
            (vec!["tokens:*"], "tokens:write", false),
            (vec!["account:*"], "account:write", false),
            (vec!["*"], "admin", false),
            (vec!["*"], "introspect", false),
            (vec!["events:*"], "events:read", false),
            (vec!["*", "admin"], "admin", true),
            (vec!["*"], "tokens:read", true),
            (vec!["*"], "tokens:*", true),
            (vec!["*"], "admin:x", true),
            (vec!["*"], "Admin", true),
        ] {
            let abilities = Abilities::parse(&granted).unwrap();
            for kind in [TokenKind::Personal, TokenKind::Operator] {
                let held = abilities.clone().held_by(kind);
                assert_eq!(held.grant(asked), by_name, "{kind} {granted:?} {asked}");
            }
            assert!(abilities.clone().held_by(TokenKind::Login).grant(asked));
            assert!(abilities.grant(asked), "a user's own");
        }
    }

    #[test]
    fn abilities_keep_their_order_without_repeats() {
        let abilities = Abilities::parse(["b", "a", "b"]).unwrap();
        assert_eq!(abilities.iter().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(Abilities::parse([""; 0]).unwrap().iter().count(), 0);
    }

    #[test]
    fn what_is_no_scope_token_is_refused() {
        use AbilityError::{Character, Empty, TooLong, TooMany};
        let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
        for (texts, error) in [
            (vec![""], Empty),
            (vec!["a b"], Character),
            (vec!["a\"b"], Character),
            (vec!["a\\b"], Character),
            (vec!["é"], Character),
            (vec!["a\n"], Character),
            (vec![&"x".repeat(101)], TooLong),
            (many.iter().map(String::as_str).collect(), TooMany),
        ] {
            assert_eq!(Abilities::parse(&texts).unwrap_err(), error, "{texts:?}");
        }
    }

    proptest! {
        #[test]
        fn what_two_share_is_what_both_grant(
            kind in prop::sample::select(TokenKind::ALL.as_slice()),
            one in prop::collection::vec("[ab:*]{1,4}|admin|events:[*]|events:read", 0..5),
            other in prop::collection::vec("[ab:*]{1,4}|admin|events:[*]|events:read", 0..5),
            asked in "[ab:*]{1,5}|admin|events:read",
        ) {
            let one = Abilities::parse(&one).unwrap().held_by(kind);
            let other = Abilities::parse(&other).unwrap();
            let both = one.grant(&asked) && other.grant(&asked);
            prop_assert_eq!(one.shared_with(&other).grant(&asked), both);
        }

        #[test]
        fn whatever_is_covered_is_granted(
            held in prop::collection::vec("[ab:*]{1,4}", 0..5),
            given in prop::collection::vec("[ab:*]{1,4}", 0..5),
            asked in "[ab:*]{1,5}",
        ) {
            let held = Abilities::parse(&held).unwrap();
            let given = Abilities::parse(&given).unwrap();
            prop_assert!(!(given.iter().all(|ability| held.grant(ability)) && given.grant(&asked)) || held.grant(&asked));
        }
    }
}
