//! Whether a request to somebody else may pass: what a reverse proxy or another service asks, and
//! what the access rules say to it.

use super::{Auth, Error, Session};
use crate::domain::{Abilities, Access, ForwardAuthHeaders};

/// What is asked about a request.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Abilities that are needed, all of them or any of them.
    pub named: Vec<Access>,
    /// The request itself, for the access rules.
    pub original: Option<Original>,
}

/// The request that somebody wants to let through.
#[derive(Clone, Debug)]
pub struct Original {
    /// Its method.
    pub method: String,
    /// The host that it was sent to, with or without a port.
    pub host: String,
    /// Its path and query, as the client spelled them.
    pub uri: Vec<u8>,
}

/// What it takes to pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing: a rule makes it public.
    Nothing,
    /// A live token, and each of these.
    Token(Vec<Access>),
}

impl Original {
    /// The request that these parts name, if there is any of them: `GET`, no host and `/`, where one
    /// is missing.
    pub fn of(method: Option<String>, host: Option<String>, uri: Option<String>) -> Option<Self> {
        let is_named = method.is_some() || host.is_some() || uri.is_some();
        is_named.then(|| Self {
            method: method.unwrap_or_else(|| "GET".to_owned()),
            host: host.unwrap_or_default(),
            uri: uri.unwrap_or_else(|| "/".to_owned()).into_bytes(),
        })
    }
}

impl Auth {
    /// How a proxy names the request that the access rules decide; none without rules.
    pub fn forward_auth_headers(&self) -> Option<ForwardAuthHeaders> {
        self.0.forward_auth_headers
    }

    /// What a request must have to pass. Abilities that are named and the rule that matches count
    /// both; a rule that makes something public takes none of the named away.
    ///
    /// # Errors
    /// [`Error::Unclear`] where there are rules, and the question names neither abilities nor a
    /// request, or the request's path can be read in two ways; [`Error::NoRule`] if none matches.
    pub fn requirement(&self, question: Question) -> Result<Requirement, Error> {
        let Question { mut named, original } = question;
        let Some(naming) = self.0.forward_auth_headers else {
            return Ok(Requirement::Token(named));
        };
        let Some(Original { method, host, uri }) = original else {
            return match named.is_empty() {
                false => Ok(Requirement::Token(named)),
                true => Err(Error::Unclear(format!(
                    "There are access rules, so the request must name abilities in its query, or \
                     come from a trusted proxy that names the original request in {naming}."
                ))),
            };
        };
        let decision = self.0.rules.decide(&method, &host, &uri);
        let decided = decision.map_err(|reason| Error::Unclear(reason.to_string()))?;
        let (_, rule) = decided.ok_or(Error::NoRule)?;
        match &rule.access {
            Access::Public if named.is_empty() => Ok(Requirement::Nothing),
            Access::Public => Ok(Requirement::Token(named)),
            access => {
                named.push(access.clone());
                Ok(Requirement::Token(named))
            }
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
