//! Whether a request to somebody else may pass: what a reverse proxy or another service asks, and
//! what the access rules say to it.

use super::{Auth, Error, Session};
use crate::domain::{Abilities, Access, Decision, ForwardAuthHeaders, Original, Undecided};

/// What is asked about a request.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Abilities that are needed, all of them or any of them.
    pub named: Vec<Access>,
    /// The request itself, for the access rules.
    pub original: Option<Original>,
}

/// What it takes to pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing: a rule makes it public.
    Nothing,
    /// A live token, and each of these.
    Token(Vec<Access>),
}

impl Auth {
    /// How a proxy names the request that the access rules decide on; `None` without rules.
    pub fn forward_auth_headers(&self) -> Option<ForwardAuthHeaders> {
        self.0.forward_auth_headers
    }

    /// What a request must have to pass: the named abilities, and what each rule that matches asks for. A
    /// public rule removes no requirement.
    ///
    /// # Errors
    /// [`Error::Unclear`] where there are rules, and the question names neither abilities nor a
    /// request, or servers may differ about the request; [`Error::NoRule`] if no rule matches it, or
    /// its destination.
    pub fn requirement(&self, question: Question) -> Result<Requirement, Error> {
        let Question { mut named, original } = question;
        let Some(naming) = self.0.forward_auth_headers else {
            return Ok(Requirement::Token(named));
        };
        let Some(original) = original else {
            return match named.is_empty() {
                false => Ok(Requirement::Token(named)),
                true => Err(Error::Unclear(format!(
                    "There are access rules, so the request must name abilities in its query, or \
                     come from a trusted proxy that names the original request in {naming}."
                ))),
            };
        };
        let path = self.0.rules.decide_path(&original)?;
        let destination = self.0.rules.decide_destination(&original)?;
        let rules = path.rules().chain(destination.iter().flat_map(Decision::rules));
        for (_, rule) in rules {
            if rule.access != Access::Public && !named.contains(&rule.access) {
                named.push(rule.access.clone());
            }
        }
        match named.is_empty() {
            true => Ok(Requirement::Nothing),
            false => Ok(Requirement::Token(named)),
        }
    }
}

impl From<Undecided> for Error {
    fn from(reason: Undecided) -> Self {
        match reason {
            Undecided::NoRule => Self::NoRule,
            reason => Self::Unclear(reason.to_string()),
        }
    }
}

impl Requirement {
    /// A live token.
    pub const ANY_TOKEN: Self = Self::Token(Vec::new());

    /// Whether a session has what it takes.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`] names the abilities of the first that it lacks.
    pub fn check(&self, session: &Session) -> Result<(), Error> {
        let Self::Token(accesses) = self else { return Ok(()) };
        match accesses.iter().find_map(|access| lacking(access, &session.abilities)) {
            None => Ok(()),
            Some(needed) => Err(Error::InsufficientScope(needed.as_scope().to_owned())),
        }
    }
}

/// The abilities that an access needs, if those `held` do not do.
fn lacking<'a>(access: &'a Access, held: &Abilities) -> Option<&'a Abilities> {
    match access {
        Access::All(needed) | Access::Any(needed) if !access.is_met_by(held) => Some(needed),
        _ => None,
    }
}
