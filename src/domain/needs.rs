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
    /// Whether a token that is live, and its owner, may do what is needed.
    ///
    /// # Errors
    /// The ability that is lacking.
    pub fn check(self, token: &Token, owner: &User) -> Result<(), &'static str> {
        let can = |ability| token.abilities.grant(ability) && owner.abilities.grant(ability);
        let (ability, may) = match self {
            Self::Nothing | Self::LiveToken => return Ok(()),
            Self::Ability(ability) => (ability, can(ability)),
            Self::Admin => ("admin", owner.admin && can("admin")),
        };
        match may {
            true => Ok(()),
            false => Err(ability),
        }
    }
}
