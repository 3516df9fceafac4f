use std::fmt;

use super::{Abilities, Token, User};

/// What a request must have to be allowed.
///
/// ```
/// use bearerd::domain::{Abilities, Requirement};
///
/// let read = Requirement::Any(Abilities::parse(["posts:read", "posts:write"])?);
/// assert_eq!(read.to_string(), "any of posts:read posts:write");
/// # Ok::<_, bearerd::domain::AbilityError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing: everybody is allowed.
    Nothing,
    /// A live token with any abilities.
    LiveToken,
    /// A live token that has this ability.
    Ability(&'static str),
    /// A live token that has all of these abilities. If the list is empty, any live token is enough.
    All(Abilities),
    /// A live token that has at least one of these abilities. If the list is empty, no token is enough.
    Any(Abilities),
    /// A live token of an administrator that has the ability `admin`.
    Admin,
    /// A live token of another service, with this ability, if any. Services may send the token as the
    /// password of HTTP Basic, as OAuth clients do.
    Service(Option<&'static str>),
}

impl Requirement {
    /// The abilities that are named, as a scope (RFC 6749, section 3.3), separated by single spaces.
    pub fn scope(&self) -> &str {
        match self {
            Self::Nothing | Self::LiveToken | Self::Service(None) => "",
            Self::Ability(ability) | Self::Service(Some(ability)) => ability,
            Self::All(abilities) | Self::Any(abilities) => abilities.as_scope(),
            Self::Admin => "admin",
        }
    }

    /// Each ability that is named.
    pub fn abilities(&self) -> impl Iterator<Item = &str> {
        self.scope().split(' ').filter(|ability| !ability.is_empty())
    }

    /// Whether a token that is live, and its owner, have what is required: each ability must be granted by
    /// both.
    ///
    /// # Errors
    /// [`Self::scope`], for the answer to the client.
    pub fn check(&self, token: &Token, owner: &User) -> Result<(), String> {
        let can = |ability: &str| token.abilities.grant(ability) && owner.abilities.grant(ability);
        let is_met = match self {
            Self::Nothing => true,
            Self::Any(_) => self.abilities().any(can),
            Self::Admin => owner.admin && self.abilities().all(can),
            Self::LiveToken | Self::Ability(_) | Self::All(_) | Self::Service(_) => {
                self.abilities().all(can)
            }
        };
        match is_met {
            true => Ok(()),
            false => Err(self.scope().to_owned()),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("public"),
            Self::Any(abilities) => write!(f, "any of {abilities}"),
            Self::Admin => f.write_str("an administrator, and admin"),
            _ if self.scope().is_empty() => f.write_str("any live token"),
            _ => write!(f, "all of {}", self.scope()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Email, Name, Timestamp, TokenKind};
    use super::*;

    #[test]
    fn what_is_required_is_held_by_token_and_owner_both() {
        let token = |kind, abilities: &[&str]| Token {
            id: 1,
            kind,
            bond: None,
            name: Name::from_stored("x".to_owned()),
            abilities: Abilities::parse(abilities).unwrap().held_by(kind),
            created_at: Timestamp::from_unix(0),
            last_used_at: None,
            expires_at: None,
            revoked_at: None,
        };
        let owner = |admin, abilities: &[&str]| User {
            id: 1,
            name: Name::from_stored("x".to_owned()),
            email: Email::from_stored("x".to_owned()),
            abilities: Abilities::parse(abilities).unwrap(),
            admin,
            disabled_at: None,
            created_at: Timestamp::from_unix(0),
            updated_at: Timestamp::from_unix(0),
        };
        let list = |abilities: &[&str]| Abilities::parse(abilities).unwrap();
        let (all, any) = (
            |abilities: &[&str]| Requirement::All(list(abilities)),
            |abilities: &[&str]| Requirement::Any(list(abilities)),
        );
        let nobody: &[&str] = &[];
        for (requirement, held, owned, admin, lacks) in [
            (Requirement::LiveToken, nobody, nobody, false, None),
            (Requirement::Ability("a"), &["a"], &["*"], false, None),
            (Requirement::Ability("a"), &["a"], &["b"], false, Some("a")),
            (Requirement::Ability("a"), &["b"], &["*"], false, Some("a")),
            (all(&[]), nobody, nobody, false, None),
            (all(&["a", "b"]), &["a", "b"], &["*"], false, None),
            (all(&["a", "b"]), &["a"], &["*"], false, Some("a b")),
            (any(&["a", "b"]), &["b"], &["*"], false, None),
            (any(&["a", "b"]), &["c"], &["*"], false, Some("a b")),
            (any(&[]), &["*"], &["*"], true, Some("")),
            (Requirement::Admin, &["*"], &["*"], false, Some("admin")),
            (Requirement::Admin, &["a"], &["*"], true, Some("admin")),
            (Requirement::Admin, &["admin"], &["*"], true, None),
            (Requirement::Service(Some("introspect")), &["*"], &["*"], false, None),
            (Requirement::Service(Some("introspect")), nobody, &["*"], false, Some("introspect")),
            (Requirement::Service(None), nobody, nobody, false, None),
        ] {
            let checked = requirement.check(&token(TokenKind::Login, held), &owner(admin, owned));
            assert_eq!(checked.err().as_deref(), lacks, "{requirement:?} {held:?} {owned:?}");
        }
        for kind in [TokenKind::Personal, TokenKind::Operator] {
            let check =
                |held: &[&str]| Requirement::Admin.check(&token(kind, held), &owner(true, &["*"]));
            assert_eq!(check(&["*"]), Err("admin".to_owned()));
            assert_eq!(check(&["*", "admin"]), Ok(()));
        }
    }
}
