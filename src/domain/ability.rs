use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Something that a token may be good for: an RFC 6750 scope-token of 1 to 100 characters.
///
/// Granted, `*` stands for every ability and `posts:*` for every one that begins with `posts:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability(Box<str>);

/// Why strings are no [`Ability`] or [`Abilities`]. Reads on from "The abilities field …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbilityError {
    /// An ability without a character.
    #[error("must not contain an empty ability")]
    Empty,
    /// An ability of over 100 characters.
    #[error("must not contain an ability longer than 100 characters")]
    TooLong,
    /// A character that RFC 6750 keeps out of a scope-token.
    #[error(
        "must contain abilities of printable ASCII alone, without space, double quote and backslash"
    )]
    Character,
    /// Over 100 abilities.
    #[error("must not contain more than 100 abilities")]
    TooMany,
}

impl Ability {
    /// The ability that `text` spells.
    ///
    /// # Errors
    /// [`AbilityError`] says which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, AbilityError> {
        if text.is_empty() {
            return Err(AbilityError::Empty);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\') {
            return Err(AbilityError::Character);
        }
        if text.len() > 100 {
            return Err(AbilityError::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// The ability's characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The abilities that a token or a user was given: at most 100, in order, without repeats.
///
/// They are held as an RFC 6749 scope (one string, joined by spaces), because a cached token holds
/// its abilities for as long as it is cached. Clones share the string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities(Arc<str>);

impl Abilities {
    /// How many there may be.
    pub const MOST: usize = 100;

    /// Every ability: `["*"]`.
    pub fn all() -> Self {
        Self("*".into())
    }

    /// These abilities, each kept where it first stands.
    ///
    /// # Errors
    /// [`AbilityError`] if one is none, or there are over 100.
    pub fn parse<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Self, AbilityError> {
        let mut kept: Vec<Ability> = Vec::new();
        for text in texts {
            let ability = Ability::parse(text.as_ref())?;
            if !kept.contains(&ability) {
                if kept.len() == Self::MOST {
                    return Err(AbilityError::TooMany);
                }
                kept.push(ability);
            }
        }
        let scope: Vec<&str> = kept.iter().map(Ability::as_str).collect();
        Ok(Self(scope.join(" ").into()))
    }

    /// Abilities read back from where [`Abilities::as_scope`] was stored.
    pub fn from_stored(scope: String) -> Self {
        Self(scope.into())
    }

    /// The abilities as an RFC 6749 scope: joined by single spaces, empty for none.
    pub fn as_scope(&self) -> &str {
        &self.0
    }

    /// Each ability, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|ability| !ability.is_empty())
    }

    /// Whether `ability` is among those granted, by its own name or under a `*`.
    pub fn grant(&self, ability: &str) -> bool {
        self.iter().any(|granted| covers(granted, ability))
    }

    /// Those of `asked` that are not granted.
    #[must_use]
    pub fn lacking(&self, asked: &Self) -> Self {
        let lacking: Vec<_> = asked.iter().filter(|ability| !self.grant(ability)).collect();
        Self(lacking.join(" ").into())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What both `self` and `other` grant: of each two, the narrower.
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
        // Nearly always it is the one or the other, and needs no memory of its own.
        let held = [self, other].into_iter().find(|held| *held.0 == *shared);
        held.cloned().unwrap_or_else(|| Self(shared.into()))
    }
}

/// Whether who holds `granted` may do `ability`. A pattern covers the narrower patterns too.
fn covers(granted: &str, ability: &str) -> bool {
    granted == ability
        || granted == "*"
        || granted
            .strip_suffix('*')
            .is_some_and(|stem| stem.ends_with(':') && ability.starts_with(stem))
}

impl fmt::Display for Abilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
            one in prop::collection::vec("[ab:*]{1,4}", 0..5),
            other in prop::collection::vec("[ab:*]{1,4}", 0..5),
            asked in "[ab:*]{1,5}",
        ) {
            let one = Abilities::parse(&one).unwrap();
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
