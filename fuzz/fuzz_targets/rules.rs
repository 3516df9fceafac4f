//! Access rules, and requests with methods, hosts and destinations. A method that does more never needs less, a
//! later rule never changes the decision of an earlier one, and the parts of a rule are printed as they are
//! read.
#![no_main]

use bearerd::domain::{
    Abilities, Decision, HostPattern, Method, Original, PathPattern, Requirement, Rule, Rules,
    Undecided,
};
use bearerd_fuzz::lines;
use libfuzzer_sys::fuzz_target;

// Before an empty line: a rule in each line, as `METHODS HOST PATH ABILITY`. After it: a request in each line,
// as `METHOD HOST TARGET DESTINATION`. A part that is `-` is left out.
fuzz_target!(|data: &[u8]| {
    let lines = lines(data);
    let mut parts = lines.splitn(2, String::is_empty);
    let rules: Vec<Rule> =
        parts.next().unwrap_or_default().iter().take(16).filter_map(|line| rule(line)).collect();
    for line in parts.next().unwrap_or_default().iter().take(4) {
        let mut words = line.splitn(4, ' ').map(|word| (word != "-").then(|| word.to_owned()));
        let mut next = || words.next().flatten();
        if let Some(request) = Original::of(next(), next(), next(), next()) {
            check(&rules, &request);
        }
    }
});

fn rule(line: &str) -> Option<Rule> {
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    let [methods, host, path, ability] = words.as_slice() else { return None };
    let some = |word: &'_ str| (word != "-").then(|| word.to_owned());
    let methods =
        some(methods).map(|list| list.split(',').map(Method::parse).collect::<Result<Vec<_>, _>>());
    let host = some(host).map(|host| HostPattern::parse(&host));
    let path = some(path).map(|path| PathPattern::parse(&path));
    let rule = Rule {
        methods: methods.transpose().ok()?,
        host: host.transpose().ok()?,
        path: path.transpose().ok()?,
        requirement: Requirement::All(Abilities::parse([ability]).ok()?),
    };
    if let Some(host) = &rule.host {
        assert_eq!(HostPattern::parse(&host.to_string()).as_ref(), Ok(host));
    }
    if let Some(path) = &rule.path {
        assert_eq!(PathPattern::parse(&path.to_string()).as_ref(), Ok(path));
    }
    Some(rule)
}

/// The numbers of the rules that a request must meet.
type Numbers = Result<Vec<usize>, Undecided>;

fn numbers(decision: Decision<'_>) -> Vec<usize> {
    decision.rules().map(|(number, _)| number).collect()
}

fn by_path(rules: &Rules, request: &Original) -> Numbers {
    rules.decide_path(request).map(numbers)
}

fn by_destination(rules: &Rules, request: &Original) -> Result<Option<Vec<usize>>, Undecided> {
    rules.decide_destination(request).map(|decision| decision.map(numbers))
}

fn check(list: &[Rule], request: &Original) {
    let rules = Rules::new(list.to_vec());
    let is = |method: &str| request.method.eq_ignore_ascii_case(method);
    let with = |method: &str, uri: &[u8]| Original {
        method: method.to_owned(),
        uri: uri.to_vec(),
        destination: None,
        ..request.clone()
    };
    let found = by_path(&rules, request);
    if let Ok(found) = &found {
        // Rules after the last one that decides change nothing, nor does it matter that they are there.
        let last = *found.iter().max().expect("a decision names a rule");
        let names_hosts = |list: &[Rule]| list.iter().any(|rule| rule.host.is_some());
        if names_hosts(&list[..last]) == names_hosts(list) {
            assert_eq!(by_path(&Rules::new(list[..last].to_vec()), request).as_ref(), Ok(found));
        }
        let twice = [list, list].concat();
        assert_eq!(by_path(&Rules::new(twice), request).as_ref(), Ok(found));
        // No rule that decides is one for another method, host or path.
        for number in found {
            let methods = list[*number - 1].methods.iter().flatten();
            let mut names = methods.map(Method::as_str).peekable();
            assert!(
                names.peek().is_none()
                    || is("COPY")
                    || is("MOVE")
                    || names.any(|name| {
                        name == request.method || (name == "GET" && request.method == "HEAD")
                    })
            );
        }
    }
    // The spelling of the host decides nothing: another case, or a port.
    let upper = Original { host: request.host.to_ascii_uppercase(), ..request.clone() };
    assert_eq!(by_path(&rules, &upper), found);
    if !request.host.contains(':') && found.is_ok() {
        let port = Original { host: format!("{}:8443", request.host), ..request.clone() };
        assert_eq!(by_path(&rules, &port), found);
    }
    // To copy or move needs at least what its effects need, unless the rule is for that method.
    let lists = |number: usize| list[number - 1].methods.is_some();
    if (is("COPY") || is("MOVE")) && found.as_ref().is_ok_and(|found| !lists(found[0])) {
        let found = found.clone().unwrap_or_default();
        let effects: &[&str] = if is("COPY") { &["GET"] } else { &["GET", "DELETE"] };
        for effect in effects {
            let needed =
                by_path(&rules, &with(effect, &request.uri)).expect("an effect is decided");
            assert!(needed.iter().all(|number| found.contains(number)), "{effect}");
        }
    }
    let destination = by_destination(&rules, request);
    if let (Some(path), Ok(Some(found))) = (&request.destination, &destination) {
        let scheme = path.windows(3).position(|part| part == b"://");
        let at = scheme.filter(|_| path[0] != b'/').map_or(0, |at| at + 3);
        let start = at + path[at..].iter().position(|&byte| byte == b'/').expect("a path");
        for effect in ["PUT", "DELETE"] {
            if (is("COPY") || is("MOVE")) && !lists(found[0]) {
                let needed =
                    by_path(&rules, &with(effect, &path[start..])).expect("an effect is decided");
                assert!(needed.iter().all(|number| found.contains(number)), "{effect}");
            }
        }
    }
    assert!(request.destination.is_some() || !is("COPY") && !is("MOVE") || destination.is_err());
}
