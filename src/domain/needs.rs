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
    /// A live token of an administrator that has the ability `admin`.
    Admin,
}

impl Needs {
    /// The ability that is needed, if one is.
    pub fn ability(self) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::LiveToken => None,
            Self::Ability(ability) => Some(ability),
            Self::Admin => Some("admin"),
        }
    }

    /// Whether a token that is live, and its owner, may do what is needed.
    ///
    /// # Errors
    /// The ability that is lacking.
    pub fn check(self, token: &Token, owner: &User) -> Result<(), &'static str> {
        let Some(ability) = self.ability() else { return Ok(()) };
        let is_the_one = self != Self::Admin || owner.admin;
        let can = token.abilities.grant(ability) && owner.abilities.grant(ability);
        match is_the_one && can {
            true => Ok(()),
            false => Err(ability),
        }
    }
}
