//! Why a request passes or doesn't: the checks that `/api/verify` makes, one by one. This module makes all
//! of them, also after one that fails, and reports the result of each. It records no use and writes nothing.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::forward_auth::Basis;
use super::{Auth, Error};
use crate::domain::{
    Abilities, Ambiguous, Decision, ForwardAuthHeaders, LifeCheck, NotLive, Original,
    PresentedToken, Requirement, Token, TokenKind, Undecided, User,
};

/// The token of the request.
#[derive(Debug)]
pub enum Subject {
    /// None is sent.
    Nobody,
    /// The row with this id.
    Row(i64),
    /// The string that was sent.
    Sent(SecretString),
}

/// The decision and its checks.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Whether the request passes.
    pub allowed: bool,
    /// The status that `/api/verify` answers.
    pub status: u16,
    /// The access rule that matched the request's path, counted from 1.
    pub rule: Option<usize>,
    /// The checks, in their order. After one that fails, the others are made all the same.
    pub checks: Vec<Step>,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The name of the check.
    pub check: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// The result.
    pub found: String,
    /// What to do to pass it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The steps so far.
#[derive(Default)]
struct Steps {
    checks: Vec<Step>,
    /// The status of the first check that failed.
    status: Option<u16>,
}

impl Steps {
    fn pass(&mut self, check: &'static str, found: impl Into<String>) {
        self.checks.push(Step { check, passed: true, found: found.into(), remedy: None });
    }

    fn fail(&mut self, status: u16, check: &'static str, found: impl Into<String>, remedy: &str) {
        self.status.get_or_insert(status);
        let remedy = Some(remedy.to_owned());
        self.checks.push(Step { check, passed: false, found: found.into(), remedy });
    }

    fn conclude(self, rule: Option<usize>) -> Explanation {
        let Self { checks, status } = self;
        Explanation { allowed: status.is_none(), status: status.unwrap_or(200), rule, checks }
    }
}

impl Auth {
    /// What `/api/verify` would answer to a request with the token `subject`, and why. The
    /// request has the `named` requirements, and is about the `original` request. `trusted` says whether it
    /// comes from a trusted proxy: with rules, only such a proxy may name an original request.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn explain(
        &self,
        subject: Subject,
        mut named: Vec<Requirement>,
        original: Option<&Original>,
        trusted: bool,
    ) -> Result<Explanation, Error> {
        let mut steps = Steps::default();
        let naming = self.forward_auth_headers();
        if naming == Some(ForwardAuthHeaders::Envoy) && !named.is_empty() {
            named.clear();
            steps.pass("query", "Envoy's query is the client's, so abilities in it are not read");
        }
        if !trusted && naming.is_some() && original.is_some() {
            steps.fail(
                400,
                "proxy",
                "it is no trusted proxy that names the request",
                "add the proxy's address to trusted_proxies",
            );
        }
        let basis = self.basis(&named, original);
        let rule = explain_basis(&basis, &mut steps);
        // If there is no basis, a step has said so. The token is checked all the same.
        let required = basis.requirements(named).unwrap_or_else(|_| vec![Requirement::LiveToken]);
        if required.is_empty() {
            return Ok(steps.conclude(rule));
        }
        if let Some((token, owner)) = self.explain_token(subject, &mut steps).await? {
            for check in self.0.ttl.checks(&token, &owner, self.now()) {
                explain_life(check, &mut steps);
            }
            for requirement in &required {
                explain_requirement(requirement, &token, &owner, &mut steps);
            }
        }
        Ok(steps.conclude(rule))
    }

    async fn explain_token(
        &self,
        subject: Subject,
        steps: &mut Steps,
    ) -> Result<Option<(Token, User)>, Error> {
        let found = match subject {
            Subject::Nobody => {
                steps.fail(401, "token", "no token is sent", "send one");
                return Ok(None);
            }
            Subject::Row(id) => self.0.store.token_by_id(id).await?,
            Subject::Sent(text) => {
                let presented = PresentedToken::parse(
                    text.expose_secret().as_bytes().trim_ascii(),
                    &self.0.prefix,
                );
                let Ok(presented) = presented else {
                    let found =
                        "its prefix is known, and its length, alphabet or checksum is wrong";
                    steps.fail(401, "form", found, "copy the whole token, and nothing else");
                    return Ok(None);
                };
                steps.pass("form", "it can be a token");
                let row = self.0.store.token_by_hash(presented.hash).await?;
                row.filter(|(token, _)| presented.names(token.id))
            }
        };
        match &found {
            Some((token, owner)) => {
                let Token { id, kind, name, .. } = token;
                steps.pass("token", format!("{kind} token {id}, {name}, of {}", owner.email));
            }
            None => {
                let found = "there is no such token: it was never issued here, or purged";
                steps.fail(401, "token", found, "issue a new one");
            }
        }
        Ok(found)
    }
}

/// Adds steps for the basis. Returns the number of the rule for the request's own path.
fn explain_basis(basis: &Basis<'_>, steps: &mut Steps) -> Option<usize> {
    const CHECK: &str = "rule";
    match basis {
        Basis::NoRules => steps.pass(CHECK, "there are no access rules"),
        Basis::Abilities => steps.pass(CHECK, "abilities are named, and no request"),
        Basis::Unnamed(_) => steps.fail(
            400,
            CHECK,
            "there are access rules, and neither abilities nor a request are named",
            "name the request, from an address among trusted_proxies, or abilities",
        ),
        Basis::Rules(path, destination) => {
            let number = explain_decision(CHECK, path.as_ref().map(Some), steps);
            let destination = destination.as_ref().map(Option::as_ref);
            explain_decision("destination", destination, steps);
            return number;
        }
    }
    None
}

/// Adds a step for each rule of a decision. Returns the number of the first.
fn explain_decision(
    check: &'static str,
    decision: Result<Option<&Decision<'_>>, &Undecided>,
    steps: &mut Steps,
) -> Option<usize> {
    let rules = match decision {
        Ok(decision) => decision?.rules(),
        Err(reason) => {
            explain_undecided(check, *reason, steps);
            return None;
        }
    };
    let mut first = None;
    for (number, rule) in rules {
        steps.pass(check, format!("rule {number} matches: {rule}"));
        first.get_or_insert(number);
    }
    first
}

fn explain_undecided(check: &'static str, reason: Undecided, steps: &mut Steps) {
    let (status, remedy) = match reason {
        Undecided::NoRule => (403, "add a rule to bearerd.toml that matches it"),
        Undecided::Ambiguous(Ambiguous::Host) => (400, "name one host"),
        Undecided::Ambiguous(Ambiguous::Method) => (400, "name one method"),
        Undecided::Ambiguous(Ambiguous::Path(_) | Ambiguous::Spelling) => {
            (400, "spell it so that every server reads it in one way")
        }
        Undecided::NoDestination => (400, "have the proxy pass Destination on"),
        Undecided::Destination => (400, "name a URL, or a path that begins with /"),
        Undecided::OtherHost => (400, "name the host of the request, or a path alone"),
        Undecided::Unlisted => (400, "list the method in the rule that matches"),
    };
    steps.fail(status, check, reason.to_string(), remedy);
}

fn explain_life(LifeCheck { failure, at, passed }: LifeCheck, steps: &mut Steps) {
    let (check, never, end, remedy) = match failure {
        NotLive::Revoked => ("revoked", "it is not revoked", "revoked at", "issue a new token"),
        NotLive::Expired => (
            "expires_at",
            "it has no end of its own",
            "it ends at",
            "issue a new token, for longer",
        ),
        NotLive::TooOld => (
            "token_ttl",
            "never",
            "it ends the token at",
            "issue a new token, or set token_ttl higher",
        ),
        NotLive::OwnerDisabled => ("owner", "enabled", "disabled since", "enable the user"),
    };
    let found = at.map_or_else(|| never.to_owned(), |at| format!("{end} {at}"));
    match passed {
        true => steps.pass(check, found),
        false => steps.fail(401, check, found, remedy),
    }
}

fn explain_requirement(requirement: &Requirement, token: &Token, owner: &User, steps: &mut Steps) {
    const CHECK: &str = "abilities";
    if requirement.check(token, owner).is_ok() {
        if !requirement.scope().is_empty() {
            steps.pass(CHECK, format!("{requirement}: it has them"));
        }
        return;
    }
    let lacking = |held: &Abilities| {
        let lacking: Vec<_> = requirement.abilities().filter(|one| !held.grant(one)).collect();
        lacking.join(", ")
    };
    let (by_token, by_owner) = (lacking(&token.abilities), lacking(&owner.abilities));
    let found = match (by_token.as_str(), by_owner.as_str()) {
        ("", "") => format!("{requirement}: that is not met"),
        (_, "") => format!("{requirement}: the token lacks {by_token}"),
        ("", _) => format!("{requirement}: its owner lacks {by_owner}"),
        _ => format!("{requirement}: the token lacks {by_token}, its owner {by_owner}"),
    };
    let abilities = token.abilities.clone().held_by(TokenKind::Login);
    let login = Token { abilities, ..token.clone() };
    let remedy = match requirement.check(&login, owner) {
        Ok(()) => {
            "issue a token that names them: a wildcard doesn't cover them in a token of this kind"
        }
        Err(_) => "issue a token that has them; give them to its owner first",
    };
    steps.fail(403, CHECK, found, remedy);
}
