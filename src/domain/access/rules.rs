use std::fmt;

use super::super::requirement::Requirement;
use super::comparison::Comparison;
use super::host::{Host, HostPattern};
use super::method::{Method, is_token};
use super::path_pattern::PathPattern;
use super::request_path::{PathError, Reading, RequestPath};

/// Access rules: which requests a reverse proxy may let pass. The first rule that matches a request decides.
///
/// ```
/// use bearerd::domain::{PathPattern, Requirement, Rule, Rules};
///
/// let rule = |path, needed| Rule { path: PathPattern::parse(path).ok(), ..Rule::any(needed) };
/// let rules = Rules::new(vec![
///     rule("/admin/**", Requirement::Ability("admin")),
///     rule("/**", Requirement::Nothing),
/// ]);
/// let decide = |target: &str| rules.decide("GET", "app.example.org", target.as_bytes());
/// assert_eq!(decide("/about?x=1").unwrap().unwrap().0, 2);
/// assert_eq!(decide("/admin//users").unwrap().unwrap().0, 1);
/// assert!(decide("/ADMIN/users").is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
    name_hosts: bool,
}

/// The requests that a rule matches, and what they must have to pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The hosts that it matches; `None` for any host.
    pub host: Option<HostPattern>,
    /// The paths that it matches; `None` for any path.
    pub path: Option<PathPattern>,
    /// The methods that it matches; `None` for any method.
    pub methods: Option<Vec<Method>>,
    /// What a matching request must have to pass.
    pub requirement: Requirement,
}

/// Why servers may differ about a request, so that no rule can decide on it. Each message is a sentence for
/// the response to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// Servers may differ about its path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Its host is not one host, and a rule names hosts.
    #[error("The host must be one host name or address, perhaps with its port.")]
    Host,
    /// Its method is not one method.
    #[error("The method must be one HTTP method.")]
    Method,
    /// A server that ignores case or dots at the end of segments and hosts, keeps empty segments, or does not
    /// decode unnecessary escapes, would need another rule.
    #[error("The path, the host or the method is spelled so that servers may differ about it.")]
    Spelling,
}

impl Rules {
    /// These rules, in this order.
    pub fn new(rules: Vec<Rule>) -> Self {
        let name_hosts = rules.iter().any(|rule| rule.host.is_some());
        Self { rules, name_hosts }
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Each rule, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.rules.iter()
    }

    /// The rule that decides on a request, and its number, counted from 1. `None` if no rule matches; then
    /// the request must be refused. `host` is the value of the `Host` header, which matters only if a rule
    /// names hosts. `target` is the path with the query, as the client sent it.
    ///
    /// The first matching rule is searched twice: with a strict comparison, and with one that ignores case,
    /// and dots at the end of segments and of the host. A server that ignores only some of these would find
    /// one of the two rules, or a rule between them. So if both are the same, it is right for every server.
    /// Both searches are done for each way to read the path.
    ///
    /// # Errors
    /// [`Ambiguous`] if servers may differ about the request. The response must be 400.
    pub fn decide(
        &self,
        method: &str,
        host: &str,
        target: &[u8],
    ) -> Result<Option<(usize, &Rule)>, Ambiguous> {
        let path = RequestPath::parse(target)?;
        let host = match self.name_hosts {
            true => Some(Host::parse(host).ok_or(Ambiguous::Host)?),
            false => None,
        };
        if !is_token(method) {
            return Err(Ambiguous::Method);
        }
        let first = |rules: &[Rule], path, comparison| {
            rules.iter().position(|rule| rule.matches(method, host.as_ref(), path, comparison))
        };
        let mut decision = None;
        for path in path.readings() {
            let found = first(&self.rules, path, Comparison::Strict);
            // A strict match is a loose match too, so only an earlier rule can differ.
            let before = &self.rules[..found.unwrap_or(self.rules.len())];
            let is_clear = first(before, path, Comparison::Loose).is_none();
            if !is_clear || decision.is_some_and(|decision| decision != found) {
                return Err(Ambiguous::Spelling);
            }
            decision = Some(found);
        }
        Ok(decision.flatten().map(|index| (index + 1, &self.rules[index])))
    }
}

impl Rule {
    /// A rule that matches every request.
    pub fn any(requirement: Requirement) -> Self {
        Self { host: None, path: None, methods: None, requirement }
    }

    fn matches(
        &self,
        method: &str,
        host: Option<&Host>,
        path: &Reading,
        comparison: Comparison,
    ) -> bool {
        let for_host = |pattern: &HostPattern| host.is_some_and(|h| pattern.matches(h, comparison));
        let for_method =
            |methods: &Vec<Method>| methods.iter().any(|one| one.matches(method, comparison));
        self.path.as_ref().is_none_or(|pattern| pattern.matches(path, comparison))
            && self.methods.as_ref().is_none_or(for_method)
            && self.host.as_ref().is_none_or(for_host)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(methods) = &self.methods {
            let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            write!(f, "{} ", names.join(","))?;
        }
        let host = self.host.as_ref().map_or("any host".to_owned(), HostPattern::to_string);
        let path = self.path.as_ref().map_or("any path".to_owned(), PathPattern::to_string);
        write!(f, "{host} {path}: {}", self.requirement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Abilities;

    fn needing(ability: &str) -> Requirement {
        Requirement::All(Abilities::parse([ability]).unwrap())
    }

    fn on(path: &str) -> Rule {
        Rule { path: Some(PathPattern::parse(path).unwrap()), ..Rule::any(needing("x")) }
    }

    fn at(host: &str) -> Rule {
        Rule { host: Some(HostPattern::parse(host).unwrap()), ..Rule::any(needing("x")) }
    }

    fn by(methods: &[&str]) -> Rule {
        let methods = methods.iter().map(|method| Method::parse(method).unwrap()).collect();
        Rule { methods: Some(methods), ..Rule::any(needing("x")) }
    }

    /// The number of the rule that decides; 0 if no rule matches.
    fn decide(rules: &[Rule], request: (&str, &str, &str)) -> Result<usize, Ambiguous> {
        let (method, host, target) = request;
        let rules = Rules::new(rules.to_vec());
        let found = rules.decide(method, host, target.as_bytes())?;
        Ok(found.map_or(0, |(number, _)| number))
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let narrow = Rule { host: at("a.org").host, methods: by(&["POST"]).methods, ..on("/a/**") };
        let rules = [narrow, on("/a/**"), on("/b/*"), Rule { ..at("b.org") }];
        for (request, expected) in [
            (("POST", "a.org", "/a/1"), 1),
            (("GET", "a.org", "/a/1"), 2),
            (("POST", "b.org", "/a/1"), 2),
            (("GET", "a.org", "/b/1?c"), 3),
            (("GET", "b.org:80", "/b/1/2"), 4),
            (("GET", "a.org", "/b/1/2"), 0),
        ] {
            assert_eq!(decide(&rules, request), Ok(expected), "{request:?}");
        }
        assert_eq!(decide(&[], ("GET", "a.org", "/")), Ok(0));
    }

    #[test]
    fn what_is_another_rules_to_a_server_that_compares_otherwise_is_refused() {
        let public = || Rule::any(Requirement::Nothing);
        let spelling = Err(Ambiguous::Spelling);
        let lower = [on("/admin/**"), public()];
        let upper = [on("/Admin/**"), public()];
        for (rules, target, expected) in [
            (&lower, "/admin/x", Ok(1)),
            (&lower, "/admin/X", Ok(1)),
            (&lower, "/Admin/x", spelling),
            (&lower, "/adm%49n", spelling),
            (&lower, "/adm%C4%B0n", spelling),
            (&lower, "/adm\u{131}n", spelling),
            (&lower, "/admin./x", spelling),
            (&lower, "/admin%20", spelling),
            (&lower, "/Administration", Ok(2)),
            (&lower, "/About.", Ok(2)),
            (&upper, "/Admin", Ok(1)),
            (&upper, "/admin", spelling),
        ] {
            assert_eq!(decide(rules, ("GET", "", target)), expected, "{target}");
        }
        // Some servers don't merge slashes, and some don't decode what needs no escape.
        let inner = [on("/admin/login"), on("/admin/**"), public()];
        for (rules, target, expected) in [
            (&lower[..], "/admin//x", Ok(1)),
            (&lower, "/x//admin", Ok(2)),
            (&lower, "/%61dmin/x", spelling),
            (&lower, "/admin/%78", Ok(1)),
            (&lower, "/admin/a%20b", Ok(1)),
            (&inner, "/admin//login", spelling),
            (&inner, "/admin/logi%6e", spelling),
            (&inner, "/admin//logi%6E", spelling),
            (&inner, "/admin/login/", Ok(1)),
            (&inner, "/admin/login//", spelling),
            (&[on("/x/*/**"), public()], "/x//", spelling),
        ] {
            assert_eq!(decide(rules, ("GET", "", target)), expected, "{target}");
        }
        // Without a strict match the request is refused in any case.
        assert_eq!(decide(&[on("/admin")], ("GET", "", "/Admin")), spelling);
        // One rule matches both spellings.
        assert_eq!(decide(&[public()], ("GET", "", "/Admin")), Ok(1));
        let both = [on("/kiosk"), on("/\u{212a}iosk"), public()];
        assert_eq!(decide(&both, ("GET", "", "/kiosk")), Ok(1));
        assert_eq!(decide(&both, ("GET", "", "/\u{212a}iosk")), spelling);
    }

    #[test]
    fn a_rule_for_get_is_for_head_and_methods_have_their_case() {
        let rules = [by(&["GET"]), by(&["DELETE", "M-SEARCH"]), Rule::any(Requirement::Nothing)];
        for (method, expected) in [
            ("GET", Ok(1)),
            ("HEAD", Ok(1)),
            ("DELETE", Ok(2)),
            ("M-SEARCH", Ok(2)),
            ("POST", Ok(3)),
            ("delete", Err(Ambiguous::Spelling)),
            ("Head", Err(Ambiguous::Spelling)),
            ("post", Ok(3)),
            ("", Err(Ambiguous::Method)),
            ("GET, POST", Err(Ambiguous::Method)),
            (" GET", Err(Ambiguous::Method)),
        ] {
            assert_eq!(decide(&rules, (method, "", "/")), expected, "{method}");
        }
        assert_eq!(decide(&[by(&["HEAD"])], ("GET", "", "/")), Ok(0));
    }

    #[test]
    fn a_host_counts_where_a_rule_names_one() {
        let rules = [at("a.org"), Rule::any(Requirement::Nothing)];
        for (host, expected) in [
            ("a.org", Ok(1)),
            ("A.ORG:8443", Ok(1)),
            ("b.org", Ok(2)),
            ("b.org.", Ok(2)),
            ("a.org.", Err(Ambiguous::Spelling)),
            ("", Err(Ambiguous::Host)),
            ("a.org, b.org", Err(Ambiguous::Host)),
        ] {
            assert_eq!(decide(&rules, ("GET", host, "/")), expected, "{host}");
            assert_eq!(decide(&rules[1..], ("GET", host, "/")), Ok(1), "{host}");
        }
    }

    #[test]
    fn an_ambiguous_path_is_refused_whatever_the_rules_are() {
        for target in ["", "a", "/a%2fb", "/a;b", "/x/..", "/%zz"] {
            let refusal = decide(&[Rule::any(Requirement::Nothing)], ("GET", "", target));
            assert!(matches!(refusal, Err(Ambiguous::Path(_))), "{target}");
        }
    }

    #[test]
    fn a_rule_is_shown_in_a_line() {
        let any = Abilities::parse(["a", "b:*"]).unwrap();
        let host = HostPattern::parse("*.A.org").ok();
        for (rule, text) in [
            (
                Rule { host, requirement: Requirement::Any(any), ..on("/a/**") },
                "*.a.org /a/**: any of a b:*",
            ),
            (by(&["GET", "POST"]), "GET,POST any host any path: all of x"),
            (Rule::any(Requirement::Nothing), "any host any path: public"),
            (
                Rule::any(Requirement::All(Abilities::parse([""; 0]).unwrap())),
                "any host any path: any live token",
            ),
        ] {
            assert_eq!(rule.to_string(), text);
        }
    }
}
