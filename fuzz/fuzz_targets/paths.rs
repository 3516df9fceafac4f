//! Paths of original requests. If bearerd decides by a rule, each server that accepts the path reads it as one
//! for the same rule.
#![no_main]

use bearerd::domain::{PathPattern, Requirement, Rule, Rules};
use bearerd_fuzz::servers::SERVERS;
use libfuzzer_sys::fuzz_target;

// The last line is the target of a request, each line before it the pattern of a rule.
fuzz_target!(|data: &[u8]| {
    let end = data.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
    let (patterns, target) = data.split_at(end);
    let target = target.strip_prefix(b"\n").unwrap_or(target);
    let patterns: Vec<String> = bearerd_fuzz::lines(patterns)
        .into_iter()
        .take(8)
        .filter(|line| PathPattern::parse(line).is_ok())
        .chain(["/admin/**".to_owned(), "/**".to_owned()])
        .collect();
    let rule = |pattern: &String| {
        let path = PathPattern::parse(pattern).ok();
        assert_eq!(path.as_ref().map(PathPattern::to_string).as_ref(), Some(pattern));
        Rule { path, ..Rule::any(Requirement::Nothing) }
    };
    let rules = Rules::new(patterns.iter().map(rule).collect());
    let decide = |target: &[u8]| {
        let decision = rules.decide("GET", "a.example", target);
        decision.map(|found| found.map(|(number, _)| number - 1))
    };
    let Ok(decision) = decide(target) else { return };
    for server in SERVERS {
        if let Some(first) = server.first(&patterns, target) {
            let (name, text) = (server.name, String::from_utf8_lossy(target));
            assert_eq!(first, decision, "{name} reads {text:?} otherwise, with {patterns:?}");
        }
    }
    // The query never matters.
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    assert_eq!(decide(path), Ok(decision));
    assert_eq!(decide(&[path, b"?/../admin"].concat()), Ok(decision));
});
