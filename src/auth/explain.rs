//! Why a request passes or doesn't: the checks that `/api/verify` makes, one by one. It notes no use
//! and writes nothing.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Auth, Error, Question, Requirement};
use crate::domain::{
    Abilities, Access, Ambiguous, Decision, ForwardAuthHeaders, PresentedToken, Token, TokenKind,
    Undecided, User,
};

/// Which token is asked about.
#[derive(Debug)]
pub enum Subject {
    /// None is sent.
    Nobody,
    /// The row with this id.
    Row(i64),
    /// The string that was sent.
    Sent(SecretString),
}

/// The verdict, and how it came about.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Explanation {
    /// Whether the request passes.
    pub allowed: bool,
    /// The status that `/api/verify` answers.
    pub status: u16,
    /// The access rule that matched the request's path, counted from 1.
    pub rule: Option<usize>,
    /// The checks, in their order. After one that fails, those that follow say what else is amiss.
    pub checks: Vec<Step>,
}

/// One check.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Step {
    /// What is checked, in a word.
    pub check: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// What was found.
    pub found: String,
    /// What would make it pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub remedy: Option<String>,
}

/// The steps so far.
#[derive(Default)]
struct Steps {
    checks: Vec<Step>,
    /// The status of the first that failed.
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

    fn judge(&mut self, check: &'static str, passed: bool, found: impl Into<String>, remedy: &str) {
        match passed {
            true => self.pass(check, found),
            false => self.fail(401, check, found, remedy),
        }
    }

    fn conclude(self, rule: Option<usize>) -> Explanation {
        let Self { checks, status } = self;
        Explanation { allowed: status.is_none(), status: status.unwrap_or(200), rule, checks }
    }
}

impl Auth {
    /// What `/api/verify` would answer to `question` about a request with the token `subject`, and
    /// why. `trusted` says whether the question comes from a trusted proxy: nobody else may name a
    /// request, where there are rules.
    ///
    /// # Errors
    /// [`Error::Busy`] and the like.
    pub async fn explain(
        &self,
        subject: Subject,
        mut question: Question,
        trusted: bool,
    ) -> Result<Explanation, Error> {
        let mut steps = Steps::default();
        let naming = self.forward_auth_headers();
        if naming == Some(ForwardAuthHeaders::Envoy) && !question.named.is_empty() {
            question.named.clear();
            steps.pass("query", "Envoy's query is the client's, so abilities in it are not read");
        }
        if !trusted && naming.is_some() && question.original.is_some() {
            steps.fail(
                400,
                "proxy",
                "it is no trusted proxy that names the request",
                "add the proxy's address to trusted_proxies",
            );
        }
        let rule = self.explain_rule(&question, &mut steps);
        let requirement = match self.requirement(question) {
            Ok(requirement) => requirement,
            // The rule's own step has said so; the token is looked at all the same.
            Err(_) => Requirement::Token(Vec::new()),
        };
        if requirement == Requirement::Nothing {
            return Ok(steps.conclude(rule));
        }
        if let Some((token, owner)) = self.explain_token(subject, &mut steps).await? {
            self.explain_life(&token, &owner, &mut steps);
            let Requirement::Token(accesses) = requirement else { return Ok(steps.conclude(rule)) };
            for access in &accesses {
                explain_abilities(access, &token, &owner, &mut steps);
            }
        }
        Ok(steps.conclude(rule))
    }

    /// The number of the rule that decides on the request's own path.
    fn explain_rule(&self, question: &Question, steps: &mut Steps) -> Option<usize> {
        const CHECK: &str = "rule";
        if self.0.rules.is_empty() {
            steps.pass(CHECK, "there are no access rules");
            return None;
        }
        let Some(original) = &question.original else {
            match question.named.is_empty() {
                false => steps.pass(CHECK, "abilities are named, and no request"),
                true => steps.fail(
                    400,
                    CHECK,
                    "there are access rules, and neither abilities nor a request are named",
                    "name the request, from an address among trusted_proxies, or abilities",
                ),
            }
            return None;
        };
        let number = match self.0.rules.decide_path(original) {
            Ok(decision) => explain_decision(CHECK, &decision, steps),
            Err(reason) => explain_undecided(CHECK, reason, steps),
        };
        match self.0.rules.decide_destination(original) {
            Ok(Some(decision)) => explain_decision("destination", &decision, steps),
            Ok(None) => None,
            Err(reason) => explain_undecided("destination", reason, steps),
        };
        number
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

    fn explain_life(&self, token: &Token, owner: &User, steps: &mut Steps) {
        let now = self.now();
        let revoked = token.revoked_at;
        steps.judge(
            "revoked",
            revoked.is_none(),
            revoked.map_or("it is not revoked".to_owned(), |at| format!("revoked at {at}")),
            "issue a new token",
        );
        let expiry = token.expires_at;
        steps.judge(
            "expires_at",
            expiry.is_none_or(|end| now < end),
            expiry.map_or("it has no end of its own".to_owned(), |at| format!("it ends at {at}")),
            "issue a new token, for longer",
        );
        let by_age = self.0.ttl.end(token.ages_from(), None);
        steps.judge(
            "token_ttl",
            by_age.is_none_or(|end| now < end),
            by_age.map_or("never".to_owned(), |at| format!("it ends the token at {at}")),
            "issue a new token, or set token_ttl higher",
        );
        let disabled = owner.disabled_at;
        steps.judge(
            "owner",
            disabled.is_none(),
            disabled.map_or("enabled".to_owned(), |at| format!("disabled since {at}")),
            "enable the user",
        );
    }
}

/// Notes the rules of a decision, and gives the number of the first.
fn explain_decision(check: &'static str, decision: &Decision, steps: &mut Steps) -> Option<usize> {
    for (number, rule) in decision.rules() {
        steps.pass(check, format!("rule {number} matches: {rule}"));
    }
    decision.rules().next().map(|(number, _)| number)
}

fn explain_undecided(check: &'static str, reason: Undecided, steps: &mut Steps) -> Option<usize> {
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
    None
}

fn explain_abilities(access: &Access, token: &Token, owner: &User, steps: &mut Steps) {
    let (needed, words) = match access {
        Access::Public => return,
        Access::All(needed) => (needed, "all of"),
        Access::Any(needed) => (needed, "any of"),
    };
    let lacking = |held: &Abilities| {
        let lacking: Vec<_> = needed.iter().filter(|ability| !held.grant(ability)).collect();
        lacking.join(", ")
    };
    let held = token.abilities.shared_with(&owner.abilities);
    if access.is_met_by(&held) {
        return steps.pass("abilities", format!("{words} {needed}: it has them"));
    }
    let (by_token, by_owner) = (lacking(&token.abilities), lacking(&owner.abilities));
    let found = match (by_token.as_str(), by_owner.as_str()) {
        (_, "") => format!("{words} {needed}: the token lacks {by_token}"),
        ("", _) => format!("{words} {needed}: its owner lacks {by_owner}"),
        _ => format!("{words} {needed}: the token lacks {by_token}, its owner {by_owner}"),
    };
    let login = token.abilities.clone().held_by(TokenKind::Login);
    let remedy = match access.is_met_by(&login.shared_with(&owner.abilities)) {
        true => {
            "issue a token that names them: a wildcard doesn't cover them in a token of this kind"
        }
        false => "issue a token that has them; give them to its owner first",
    };
    steps.fail(403, "abilities", found, remedy);
}
