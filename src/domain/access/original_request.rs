//! Finds the rules that decide on the original request, about which a reverse proxy asks bearerd. Rules decide
//! on the resource that the request's path names, and on a second resource, if the request names one.

use super::host::split_url;
use super::rules::{Ambiguous, Rule, Rules};

/// The original request, which a client sent to the reverse proxy.
#[derive(Clone, Debug)]
pub struct Original {
    /// Its method.
    pub method: String,
    /// The host that it was sent to, with or without a port.
    pub host: String,
    /// Its path and query, as the client spelled them.
    pub uri: Vec<u8>,
    /// Its header `Destination` (RFC 4918, 10.3), which names a second resource.
    pub destination: Option<Vec<u8>>,
}

/// The rules that decide on one resource of a request. To pass, the request must meet all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    first: (usize, &'a Rule),
    /// Empty except for COPY and MOVE. No rule is repeated.
    more: Vec<(usize, &'a Rule)>,
}

/// Why no rule decides on a resource. Each message is a sentence for the response to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// Servers may differ about which resource the request names.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
    /// No rule matches. The response must be 403; for all other errors it must be 400.
    #[error("No access rule matches.")]
    NoRule,
    /// The method needs a second resource, but the request names none.
    #[error("COPY and MOVE need the header Destination, which the proxy must pass on.")]
    NoDestination,
    /// `Destination` is neither a URL nor an absolute path.
    #[error("Destination must be one absolute URL or one absolute path.")]
    Destination,
    /// `Destination` is on another host, where other rules decide. Some servers ignore the host in it, and
    /// write to their own.
    #[error("Destination must be on the request's own host: for another, other rules decide.")]
    OtherHost,
    /// The method names further resources in parts of the request that bearerd does not see.
    #[error(
        "The method names further resources in its body or in Link, so the rule that matches must \
         list it in methods."
    )]
    Unlisted,
}

/// Methods that name a second resource in their body or in `Link`, which bearerd does not see. They come from
/// RFC 2068, 3253 (versions), 3648 (order), 4437 (redirects), 5323 (search) and 5842 (bindings).
const UNSEEN: [&str; 14] = [
    "BASELINE-CONTROL",
    "BIND",
    "LINK",
    "MERGE",
    "MKREDIRECTREF",
    "ORDERPATCH",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNLINK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// The methods that together have the effect of COPY or MOVE on the source and on the destination (RFC 4918,
/// 9.8 and 9.9). The resource at the destination is deleted first.
type Effects = [&'static [&'static str]; 2];
const COPY: Effects = [&["GET"], &["PUT", "DELETE"]];
const MOVE: Effects = [&["GET", "DELETE"], &["PUT", "DELETE"]];

impl Original {
    /// The request with these parts; `None` if all of them are missing. The defaults are `GET`, an empty host
    /// and `/`.
    pub fn of(
        method: Option<String>,
        host: Option<String>,
        uri: Option<String>,
        destination: Option<String>,
    ) -> Option<Self> {
        let is_named = method.is_some() || host.is_some() || uri.is_some() || destination.is_some();
        is_named.then(|| Self {
            method: method.unwrap_or_else(|| "GET".to_owned()),
            host: host.unwrap_or_default(),
            uri: uri.unwrap_or_else(|| "/".to_owned()).into_bytes(),
            destination: destination.map(String::into_bytes),
        })
    }

    fn is(&self, method: &str) -> bool {
        self.method.eq_ignore_ascii_case(method)
    }

    /// The effects of the request's method, if it is COPY or MOVE.
    fn effects(&self) -> Option<Effects> {
        match self {
            _ if self.is("COPY") => Some(COPY),
            _ if self.is("MOVE") => Some(MOVE),
            _ => None,
        }
    }
}

impl Rules {
    /// The rules that decide on the resource that the request's path names.
    ///
    /// # Errors
    /// [`Undecided`]
    pub fn decide_path(&self, original: &Original) -> Result<Decision<'_>, Undecided> {
        let [effects, _] = original.effects().unwrap_or_default();
        self.decide_resource(original, effects, (&original.host, &original.uri))
    }

    /// The rules that decide on the resource that the header `Destination` names, for any method. `None` if
    /// there is no such header and the method doesn't need it.
    ///
    /// # Errors
    /// [`Undecided`]
    pub fn decide_destination(
        &self,
        original: &Original,
    ) -> Result<Option<Decision<'_>>, Undecided> {
        let effects = original.effects();
        let own = original.host.as_str();
        let (host, path) = match &original.destination {
            None if effects.is_some() => return Err(Undecided::NoDestination),
            None => return Ok(None),
            Some(path) if path.starts_with(b"/") => (own, path.as_slice()),
            Some(url) => split_url(url).ok_or(Undecided::Destination)?,
        };
        let [_, effects] = effects.unwrap_or_default();
        let decision = self.decide_resource(original, effects, (own, path));
        match host == own || self.decide_resource(original, effects, (host, path)) == decision {
            true => decision.map(Some),
            false => Err(Undecided::OtherHost),
        }
    }

    /// If the rule lists the method, it decides alone. If it is for any method, its author may not have
    /// thought of COPY and MOVE. So the rules for each of their effects must be met too; otherwise COPY could
    /// bypass a rule for PUT.
    fn decide_resource(
        &self,
        original: &Original,
        effects: &[&str],
        (host, target): (&str, &[u8]),
    ) -> Result<Decision<'_>, Undecided> {
        let first = self.decide(&original.method, host, target)?.ok_or(Undecided::NoRule)?;
        let mut more = Vec::new();
        if first.1.methods.is_none() {
            if UNSEEN.iter().any(|method| original.is(method)) {
                return Err(Undecided::Unlisted);
            }
            for effect in effects {
                let found = self.decide(effect, host, target)?.ok_or(Undecided::NoRule)?;
                if found.0 != first.0 {
                    more.push(found);
                }
            }
            more.dedup_by_key(|(number, _)| *number);
        }
        Ok(Decision { first, more })
    }
}

impl<'a> Decision<'a> {
    /// Each rule with its number, counted from 1. The first one matches the request itself.
    pub fn rules(&self) -> impl Iterator<Item = (usize, &'a Rule)> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{HostPattern, Method, PathPattern, Requirement};

    /// A rule for a path, and for some methods or any method.
    fn rule(path: &str, methods: &[&str]) -> Rule {
        let list = methods.iter().map(|method| Method::parse(method).unwrap()).collect();
        Rule {
            path: Some(PathPattern::parse(path).unwrap()),
            methods: (!methods.is_empty()).then_some(list),
            ..Rule::any(Requirement::Ability("x"))
        }
    }

    fn request(method: &str, uri: &str, destination: &str) -> Original {
        Original {
            method: method.to_owned(),
            host: "a.org".to_owned(),
            uri: uri.as_bytes().to_owned(),
            destination: (!destination.is_empty()).then(|| destination.as_bytes().to_owned()),
        }
    }

    /// The numbers of the rules for the path and for the destination.
    fn numbers(rules: &Rules, request: &Original) -> [Result<Vec<usize>, Undecided>; 2] {
        let numbers =
            |decision: Decision| decision.rules().map(|(number, _)| number).collect::<Vec<_>>();
        let destination = rules.decide_destination(request);
        [
            rules.decide_path(request).map(numbers),
            destination.map(|decision| decision.map(numbers).unwrap_or_default()),
        ]
    }

    #[test]
    fn both_paths_of_a_request_are_decided() {
        let rules = Rules::new(vec![rule("/pub/**", &[]), rule("/sec/**", &[])]);
        let rules_of =
            |method, uri, destination| numbers(&rules, &request(method, uri, destination));
        for method in ["COPY", "MOVE", "move", "GET", "POST", "FANCY"] {
            for (destination, expected) in [
                ("/pub/y", Ok(vec![1])),
                ("/sec/x", Ok(vec![2])),
                ("/sec//x?y", Ok(vec![2])),
                ("http://a.org/sec/x", Ok(vec![2])),
                ("https://b.org:8443/sec/x", Ok(vec![2])),
                ("/else", Err(Undecided::NoRule)),
                ("sec/x", Err(Undecided::Destination)),
                ("http://a.org", Err(Undecided::Destination)),
                ("http://u@a.org/sec/x", Err(Undecided::Destination)),
                ("ftp://a.org/sec/x", Err(Undecided::Destination)),
            ] {
                let decided = rules_of(method, "/pub/x", destination);
                assert_eq!(decided, [Ok(vec![1]), expected], "{method} {destination}");
            }
            for ambiguous in ["//a.org/pub/x", "/pub/..%2fsec/x", "/SEC/x", "/pub/x, /pub/y"] {
                let [_, decided] = rules_of(method, "/pub/x", ambiguous);
                assert!(matches!(decided, Err(Undecided::Ambiguous(_))), "{method} {ambiguous}");
            }
        }
        assert_eq!(rules_of("GET", "/pub/x", ""), [Ok(vec![1]), Ok(vec![])]);
        for method in ["COPY", "MOVE", "Copy"] {
            let decided = rules_of(method, "/pub/x", "");
            assert_eq!(decided, [Ok(vec![1]), Err(Undecided::NoDestination)], "{method}");
        }
    }

    #[test]
    fn a_destination_on_another_host_passes_where_the_same_rules_decide() {
        let at = |host| Rule { host: HostPattern::parse(host).ok(), ..rule("/pub/**", &[]) };
        let rules = Rules::new(vec![at("a.org"), at("b.org"), rule("/any/**", &[])]);
        for (destination, expected) in [
            ("/pub/y", Ok(vec![1])),
            ("http://a.org/pub/y", Ok(vec![1])),
            ("http://A.org:8443/pub/y", Ok(vec![1])),
            ("http://b.org/pub/y", Err(Undecided::OtherHost)),
            ("http://c.org/pub/y", Err(Undecided::OtherHost)),
            ("http://c.org/any/y", Ok(vec![3])),
            ("http://c.org/else", Err(Undecided::NoRule)),
        ] {
            let [_, decided] = numbers(&rules, &request("COPY", "/pub/x", destination));
            assert_eq!(decided, expected, "{destination}");
        }
    }

    #[test]
    fn copy_and_move_need_what_the_methods_with_their_effects_need() {
        let rules = Rules::new(vec![
            rule("/dav/**", &["COPY", "MOVE"]),
            rule("/sec/**", &["GET"]),
            rule("/sec/**", &["PUT"]),
            rule("/sec/**", &["DELETE"]),
            rule("/**", &[]),
        ]);
        for (method, uri, destination, by_path, by_destination) in [
            ("COPY", "/pub/x", "/sec/x", vec![5], vec![5, 3, 4]),
            ("COPY", "/sec/x", "/pub/x", vec![5, 2], vec![5]),
            ("MOVE", "/sec/x", "/pub/x", vec![5, 2, 4], vec![5]),
            ("COPY", "/dav/x", "/dav/y", vec![1], vec![1]),
            ("MOVE", "/dav/x", "/sec/y", vec![1], vec![5, 3, 4]),
        ] {
            let decided = numbers(&rules, &request(method, uri, destination));
            assert_eq!(decided, [Ok(by_path), Ok(by_destination)], "{method} {uri} {destination}");
        }
    }

    #[test]
    fn a_method_with_resources_that_no_rule_sees_must_be_listed() {
        for method in UNSEEN {
            let any = Rules::new(vec![rule("/**", &[])]);
            for spelling in [method.to_owned(), method.to_lowercase()] {
                let decided = any.decide_path(&request(&spelling, "/x", ""));
                assert_eq!(decided, Err(Undecided::Unlisted), "{spelling}");
            }
            let listed = Rules::new(vec![rule("/x", &[method]), rule("/**", &[])]);
            let [decided, _] = numbers(&listed, &request(method, "/x", ""));
            assert_eq!(decided, Ok(vec![1]), "{method}");
        }
    }
}
