use super::{Token, User};

/// What a request needs of whoever sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: anybody may ask.
    Nothing,
    /// A live token, whatever it may do.
    LiveToken,
    /// A live token that has this ability.
    Ability(&'static str),
    /// A live token that has each of these abilities; any live token, if there are none.
    All(&'static [&'static str]),
    /// A live token that has one of these abilities; no token will do, if there are none.
    Any(&'static [&'static str]),
    /// A live token of an administrator that has the ability `admin`.
    Admin,
    /// Another service, with a live token that has this ability, if one is named. Services may send
    /// the token as the password of HTTP Basic, as OAuth's clients do.
    Service(Option<&'static str>),
    /// A live token, and what the request itself asks about: `/api/verify`.
    Asked,
}

impl Needs {
    /// The abilities that are needed, if it can be told without the request.
    pub fn abilities(&self) -> &[&'static str] {
        match self {
            Self::Nothing | Self::LiveToken | Self::Service(None) | Self::Asked => &[],
            Self::Ability(ability) | Self::Service(Some(ability)) => std::slice::from_ref(ability),
            Self::All(abilities) | Self::Any(abilities) => abilities,
            Self::Admin => &["admin"],
        }
    }

    /// Whether a token that is live, and its owner, may do what is needed.
    ///
    /// # Errors
    /// The abilities that are needed, as a scope (RFC 6749, section 3.3).
    pub fn check(&self, token: &Token, owner: &User) -> Result<(), String> {
        let can = |ability: &&str| token.abilities.grant(ability) && owner.abilities.grant(ability);
        let abilities = self.abilities();
        let may = match self {
            Self::Any(_) => abilities.iter().any(can),
            Self::Admin => owner.admin && abilities.iter().all(can),
            _ => abilities.iter().all(can),
        };
        match may {
            true => Ok(()),
            false => Err(abilities.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Abilities, Email, Name, Timestamp, TokenKind};
    use super::*;

    #[test]
    fn what_is_needed_is_held_by_token_and_owner_both() {
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
        let nobody: &[&str] = &[];
        for (needs, held, owned, admin, lacks) in [
            (Needs::LiveToken, nobody, nobody, false, None),
            (Needs::Ability("a"), &["a"], &["*"], false, None),
            (Needs::Ability("a"), &["a"], &["b"], false, Some("a")),
            (Needs::Ability("a"), &["b"], &["*"], false, Some("a")),
            (Needs::All(&[]), nobody, nobody, false, None),
            (Needs::All(&["a", "b"]), &["a", "b"], &["*"], false, None),
            (Needs::All(&["a", "b"]), &["a"], &["*"], false, Some("a b")),
            (Needs::Any(&["a", "b"]), &["b"], &["*"], false, None),
            (Needs::Any(&["a", "b"]), &["c"], &["*"], false, Some("a b")),
            (Needs::Any(&[]), &["*"], &["*"], true, Some("")),
            (Needs::Admin, &["*"], &["*"], false, Some("admin")),
            (Needs::Admin, &["a"], &["*"], true, Some("admin")),
            (Needs::Admin, &["admin"], &["*"], true, None),
            (Needs::Service(Some("introspect")), &["*"], &["*"], false, None),
            (Needs::Service(Some("introspect")), nobody, &["*"], false, Some("introspect")),
            (Needs::Service(None), nobody, nobody, false, None),
        ] {
            let checked = needs.check(&token(TokenKind::Login, held), &owner(admin, owned));
            assert_eq!(checked.err().as_deref(), lacks, "{needs:?} {held:?} {owned:?}");
        }
        for kind in [TokenKind::Personal, TokenKind::Operator] {
            let check =
                |held: &[&str]| Needs::Admin.check(&token(kind, held), &owner(true, &["*"]));
            assert_eq!(check(&["*"]), Err("admin".to_owned()));
            assert_eq!(check(&["*", "admin"]), Ok(()));
        }
    }
}
