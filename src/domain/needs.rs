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
