//! Forward authentication: what a request to another application must have, by the access rules and by the
//! abilities that the proxy names.

use super::{Auth, Error};
use crate::domain::{Decision, ForwardAuthHeaders, Original, Requirement, Undecided};

/// The basis of a decision on a request.
pub(super) enum Basis<'a> {
    /// There are no access rules: the abilities that are named, if any.
    NoRules,
    /// Abilities are named, and no request for the rules.
    Abilities,
    /// Neither abilities nor a request are named. The proxy must name the request in these headers.
    Unnamed(ForwardAuthHeaders),
    /// The rules for the request's path, and those for its destination, if it has one.
    Rules(Result<Decision<'a>, Undecided>, Result<Option<Decision<'a>>, Undecided>),
}

impl Auth {
    /// How a proxy names the request that the access rules decide on; `None` without rules.
    pub fn forward_auth_headers(&self) -> Option<ForwardAuthHeaders> {
        self.0.forward_auth_headers
    }

    /// All that a request must have to pass: what is `named`, and what each rule that matches the
    /// `original` request requires. A public rule removes no requirement. The list is empty for a request
    /// that is public.
    ///
    /// # Errors
    /// [`Error::Unclear`] where there are rules, and neither abilities nor a request are named, or
    /// servers may differ about the request; [`Error::NoRule`] if no rule matches it, or its
    /// destination.
    pub fn requirements(
        &self,
        named: Vec<Requirement>,
        original: Option<&Original>,
    ) -> Result<Vec<Requirement>, Error> {
        self.basis(&named, original).requirements(named)
    }

    /// The basis of the decision on a request with these `named` requirements.
    pub(super) fn basis(&self, named: &[Requirement], original: Option<&Original>) -> Basis<'_> {
        let rules = &self.0.rules;
        match (self.0.forward_auth_headers, original) {
            (None, _) => Basis::NoRules,
            (Some(naming), None) if named.is_empty() => Basis::Unnamed(naming),
            (Some(_), None) => Basis::Abilities,
            (Some(_), Some(original)) => {
                Basis::Rules(rules.decide_path(original), rules.decide_destination(original))
            }
        }
    }
}

impl Basis<'_> {
    /// The `named` requirements and those of the rules.
    pub(super) fn requirements(
        self,
        mut named: Vec<Requirement>,
    ) -> Result<Vec<Requirement>, Error> {
        match self {
            Self::NoRules if named.is_empty() => named.push(Requirement::LiveToken),
            Self::NoRules | Self::Abilities => {}
            Self::Unnamed(naming) => {
                return Err(Error::Unclear(format!(
                    "There are access rules, so the request must name abilities in its query, or \
                     come from a trusted proxy that names the original request in {naming}."
                )));
            }
            Self::Rules(path, destination) => {
                let (path, destination) = (path?, destination?);
                let rules = path.rules().chain(destination.iter().flat_map(Decision::rules));
                for (_, rule) in rules {
                    let required = &rule.requirement;
                    if *required != Requirement::Nothing && !named.contains(required) {
                        named.push(required.clone());
                    }
                }
            }
        }
        Ok(named)
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
