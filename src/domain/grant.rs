//! Which abilities and which lifetime a new token may get.

use super::{Abilities, Bond, Lifetime, Timestamp, Token, TokenKind, User};

/// The limits of a new token: its kind, the abilities that it may get, and the end of its parent token.
#[derive(Clone, Debug)]
pub struct Grant {
    kind: TokenKind,
    /// The abilities that a request may name.
    held: Abilities,
    /// The abilities if the request names none.
    default: Abilities,
    bond: Option<Bond>,
    /// When the parent token expires, if there is a parent and it expires.
    parent_end: Option<Timestamp>,
}

/// Why a requested token is not issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ungranted {
    /// The request names these abilities, which may not be granted.
    Beyond(Abilities),
    /// The request names no abilities, and the default has more abilities than a token can have.
    TooMany,
    /// The token would outlive its parent, which expires at this time.
    Outlives(Timestamp),
}

impl Grant {
    /// The limits of a token that `owner` gets for a password.
    pub fn to_login(owner: &User) -> Self {
        Self::of_owner(TokenKind::Login, owner)
    }

    /// The limits of a token that an operator issues to `owner` on the command line.
    pub fn by_operator(owner: &User) -> Self {
        Self::of_owner(TokenKind::Operator, owner)
    }

    fn of_owner(kind: TokenKind, owner: &User) -> Self {
        let (held, default) = (owner.abilities.clone(), Abilities::all());
        Self { kind, held, default, bond: None, parent_end: None }
    }

    /// The limits of a token issued by `issuer`, a live token of `owner`. `ttl` is the setting `token_ttl`.
    /// The new token may get the abilities that the issuer and its owner both have. Its default is the
    /// issuer's list, as a personal token holds it. It is bound to the issuer, unless that is a login token.
    pub fn by_token(issuer: &Token, owner: &User, ttl: Lifetime) -> Self {
        let kind = TokenKind::Personal;
        let ages_from = issuer.ages_from();
        let parent_end = ttl.end(ages_from, issuer.expires_at).filter(|_| issuer.binds());
        Self {
            kind,
            held: issuer.abilities.shared_with(&owner.abilities),
            default: issuer.abilities.clone().held_by(kind).shared_with(&owner.abilities),
            bond: issuer.binds().then_some(Bond { parent_id: issuer.id, ages_from }),
            parent_end,
        }
    }

    /// The new token's kind.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The new token's bond to its issuer, if it is bound.
    pub fn bond(&self) -> Option<Bond> {
        self.bond
    }

    /// The new token's abilities: those in `asked`, or else the default.
    ///
    /// # Errors
    /// [`Ungranted::Beyond`]; [`Ungranted::TooMany`].
    pub fn abilities(&self, asked: Option<Abilities>) -> Result<Abilities, Ungranted> {
        let abilities = match asked {
            Some(asked) => match self.held.find_ungranted(&asked) {
                none if none.is_empty() => asked,
                ungranted => return Err(Ungranted::Beyond(ungranted)),
            },
            // The default is what two lists share, which can be longer than each of them.
            None if self.default.iter().count() > Abilities::MOST => {
                return Err(Ungranted::TooMany);
            }
            None => self.default.clone(),
        };
        Ok(abilities.held_by(self.kind))
    }

    /// The new token's `expires_at`: the time in `asked`, or else the time when its parent expires.
    ///
    /// # Errors
    /// [`Ungranted::Outlives`]
    pub fn expires_at(&self, asked: Option<Timestamp>) -> Result<Option<Timestamp>, Ungranted> {
        match (asked, self.parent_end) {
            (Some(asked), Some(end)) if asked > end => Err(Ungranted::Outlives(end)),
            (asked, end) => Ok(asked.or(end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Email, Name};
    use super::*;

    const RESERVED: [&str; 5] =
        ["tokens:write", "account:write", "admin", "introspect", "events:read"];

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix(second)
    }

    fn token(kind: TokenKind, abilities: Abilities) -> Token {
        Token {
            id: 7,
            kind,
            bond: None,
            name: Name::from_stored("x".to_owned()),
            abilities: abilities.held_by(kind),
            created_at: at(100),
            last_used_at: None,
            expires_at: None,
            revoked_at: None,
        }
    }

    fn owner(abilities: Abilities) -> User {
        User {
            id: 1,
            name: Name::from_stored("x".to_owned()),
            email: Email::from_stored("x".to_owned()),
            abilities,
            admin: false,
            disabled_at: None,
            created_at: at(0),
            updated_at: at(0),
        }
    }

    #[test]
    fn a_bound_token_ends_with_its_parent_or_earlier() {
        let owner = owner(Abilities::all());
        let minute = Lifetime::seconds(60);
        for (kind, ttl, expires_at, asked, given) in [
            (TokenKind::Personal, minute, Some(150), None, Ok(Some(150))),
            (TokenKind::Personal, minute, Some(150), Some(150), Ok(Some(150))),
            (TokenKind::Personal, minute, Some(150), Some(151), Err(150)),
            (TokenKind::Operator, minute, Some(170), Some(170), Err(160)),
            (TokenKind::Operator, minute, None, None, Ok(Some(160))),
            (TokenKind::Operator, Lifetime::NEVER, None, Some(9999), Ok(Some(9999))),
            (TokenKind::Operator, Lifetime::NEVER, None, None, Ok(None)),
            (TokenKind::Login, minute, Some(150), Some(9999), Ok(Some(9999))),
            (TokenKind::Login, minute, Some(150), None, Ok(None)),
        ] {
            let expires_at = expires_at.map(at);
            let issuer = Token { expires_at, ..token(kind, Abilities::all()) };
            let grant = Grant::by_token(&issuer, &owner, ttl);
            let given = given.map(|end: Option<i64>| end.map(at));
            let given = given.map_err(|end| Ungranted::Outlives(at(end)));
            assert_eq!(grant.expires_at(asked.map(at)), given, "{issuer:?}");
        }
    }

    #[test]
    fn a_whole_line_of_tokens_ages_from_the_first() {
        let owner = owner(Abilities::all());
        let first = token(TokenKind::Operator, Abilities::all());
        let second = Token {
            id: 8,
            created_at: at(150),
            bond: Grant::by_token(&first, &owner, Lifetime::NEVER).bond().map(Box::new),
            ..token(TokenKind::Personal, Abilities::all())
        };
        let bond = Grant::by_token(&second, &owner, Lifetime::NEVER).bond().unwrap();
        assert_eq!(bond, Bond { parent_id: 8, ages_from: at(100) });
        let shorter = Lifetime::seconds(60);
        assert_eq!(shorter.check(&second, &owner, at(159)), Ok(Some(at(160))));
        assert!(shorter.check(&second, &owner, at(160)).is_err());
        let login = token(TokenKind::Login, Abilities::all());
        assert_eq!(Grant::by_token(&login, &owner, Lifetime::NEVER).bond(), None);
    }

    #[test]
    fn by_default_a_personal_token_gets_nothing_reserved_that_its_issuer_does_not_name() {
        for (held, owned, given) in [
            ("*", "*", "*"),
            ("*", "posts:* tokens:write", "posts:*"),
            ("tokens:write posts:*", "*", "tokens:write posts:*"),
            ("tokens:*", "tokens:write tokens:read", "tokens:read"),
        ] {
            let [held, owned] = [held, owned].map(|scope| Abilities::from_stored(scope.to_owned()));
            let issuer = token(TokenKind::Login, held);
            let grant = Grant::by_token(&issuer, &owner(owned), Lifetime::NEVER);
            assert_eq!(grant.abilities(None).unwrap().as_scope(), given);
        }
    }

    fn list() -> impl Strategy<Value = Abilities> {
        let ability = prop_oneof![
            prop::sample::select(RESERVED.as_slice()),
            prop::sample::select(&["*", "tokens:*", "account:*", "events:*", "a", "a:*"][..]),
        ];
        prop::collection::vec(ability, 0..5).prop_map(|list| Abilities::parse(list).unwrap())
    }

    proptest! {
        #[test]
        fn nothing_issued_grants_more_than_its_issuer_or_a_reserved_ability_that_it_does_not_name(
            kind in prop::sample::select(TokenKind::ALL.as_slice()),
            held in list(),
            owned in list(),
            asked in prop::option::of(list()),
        ) {
            let (issuer, owner) = (token(kind, held), owner(owned));
            let may = |ability| issuer.abilities.grant(ability) && owner.abilities.grant(ability);
            let grant = Grant::by_token(&issuer, &owner, Lifetime::NEVER);
            if let Ok(given) = grant.abilities(asked) {
                let probes = ["a", "a:b", "tokens:read", "account:read", "events:x", "b"];
                for ability in RESERVED.iter().chain(&probes) {
                    prop_assert!(!given.grant(ability) || may(ability), "{given} {ability}");
                }
                for ability in RESERVED {
                    prop_assert!(!given.grant(ability) || given.iter().any(|name| name == ability));
                }
            }
        }
    }
}
