//! Access rules and the different ways in which proxies read paths. If any proxy routes a path to a
//! protected one, the public rule must never match it, however the path is spelled.
//!
//! The models of nginx and Caddy below imitate those programs. Unlike the rules, they never refuse a path
//! because it is ambiguous, and route every path that they can read.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use bearerd::domain::{Ambiguous, Original, PathPattern, Requirement, Rule, Rules};
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

/// Decodes each escape once. Nginx and Go both answer an invalid escape with 400.
fn decode(raw: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        if raw[at] == b'%' {
            let digits = std::str::from_utf8(raw.get(at + 1..at + 3)?).ok()?;
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            decoded.push(is_hex.then(|| u8::from_str_radix(digits, 16).unwrap())?);
            at += 3;
        } else {
            decoded.push(raw[at]);
            at += 1;
        }
    }
    Some(decoded)
}

fn before(text: &[u8], ends: &[u8]) -> Vec<u8> {
    text.iter().copied().take_while(|byte| !ends.contains(byte)).collect()
}

/// The path that nginx matches with its locations: cut at `?` and `#`, decoded, with slashes merged and dots
/// resolved. Nginx answers a `..` above the root and a NUL with 400.
fn nginx_path(target: &[u8], merge_slashes: bool) -> Option<Vec<u8>> {
    let path = decode(&before(target, b"?#"))?;
    if path.first() != Some(&b'/') || path.contains(&0) {
        return None;
    }
    let mut built = Vec::new();
    for segment in path[1..].split(|&byte| byte == b'/') {
        match segment {
            b"." => {}
            b"" if merge_slashes => {}
            b".." => {
                // Back to the slash before the last segment.
                let slash = built.iter().rposition(|&byte| byte == b'/')?;
                built.truncate(slash);
            }
            segment => {
                built.push(b'/');
                built.extend(segment);
            }
        }
    }
    Some(built)
}

/// The path that Caddy matches: decoded, cleaned by Go's `path.Clean`, then in lower case. Go turns `İ`
/// into `i`.
fn caddy_path(target: &[u8]) -> Option<String> {
    let path = String::from_utf8_lossy(&decode(&before(target, b"?"))?).into_owned();
    let rest = path.strip_prefix('/')?;
    let mut kept: Vec<&str> = Vec::new();
    for segment in rest.split('/') {
        if segment == ".." {
            kept.pop();
        } else if !segment.is_empty() && segment != "." {
            kept.push(segment);
        }
    }
    Some(format!("/{}", kept.join("/")).replace('İ', "i").to_lowercase())
}

/// The paths that unusual backends make of a path which nginx or Caddy forwards unchanged: backends on
/// Windows, and backends that drop parameters, keep encoded slashes, resolve paths as references or decode
/// twice.
fn odd_paths(target: &[u8]) -> Vec<Vec<u8>> {
    let path = before(target, b"?");
    let backslashed: Vec<u8> =
        path.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect();
    let without_parameters: Vec<u8> = path
        .split(|&byte| byte == b'/')
        .map(|segment| before(segment, b";"))
        .collect::<Vec<_>>()
        .join(&b'/');
    // Browsers and JavaScript's URL read the text after two slashes at the start as a host.
    let behind_host: Vec<u8> =
        match nginx_path(&path, false).unwrap_or_default().strip_prefix(b"//") {
            Some(rest) => rest.iter().copied().skip_while(|&byte| byte != b'/').collect(),
            None => Vec::new(),
        };
    let text = String::from_utf8_lossy(&path);
    let slashes_kept = text.replace("%2f", "_").replace("%2F", "_").into_bytes();
    let twice = decode(&path).unwrap_or_default();
    let trimmed: Vec<u8> = decode(&path)
        .unwrap_or_default()
        .split(|&byte| byte == b'/')
        .map(|segment| match segment {
            b"." | b".." => segment,
            _ => {
                let end = segment.iter().rposition(|byte| !b". ".contains(byte));
                &segment[..end.map_or(0, |end| end + 1)]
            }
        })
        .collect::<Vec<_>>()
        .join(&b'/');
    // An application that normalizes after decoding, and drops characters without a width.
    let decoded = decode(&path).unwrap_or_default();
    let decoded = String::from_utf8_lossy(&decoded);
    let normalised = decoded.nfkc().filter(|c| !['\u{ad}', '\u{fe0f}'].contains(c));
    let normalised = normalised.map(|c| if c == '\\' { '/' } else { c }).collect::<String>();
    vec![
        normalised.into_bytes(),
        backslashed,
        without_parameters,
        behind_host,
        slashes_kept,
        twice,
        trimmed,
    ]
}

fn is_below(path: &[u8], folder: &str) -> bool {
    path.strip_prefix(folder.as_bytes())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Whether some server routes `target` below `folder`, which is in lower case.
fn is_routed_below(target: &[u8], folder: &str) -> bool {
    let routes = |target: &[u8]| {
        [true, false]
            .iter()
            .any(|&merge| nginx_path(target, merge).is_some_and(|path| is_below(&path, folder)))
            || caddy_path(target).is_some_and(|path| is_below(path.as_bytes(), folder))
    };
    routes(target) || odd_paths(target).iter().any(|target| routes(target))
}

fn protecting(folder: &str) -> Rules {
    let rule = |pattern: &str, requirement| Rule {
        path: Some(PathPattern::parse(pattern).unwrap()),
        ..Rule::any(requirement)
    };
    let admin = Requirement::Ability("admin");
    Rules::new(vec![rule(&format!("{folder}/**"), admin), rule("/**", Requirement::Nothing)])
}

/// The number of the rule that matches a GET.
fn decide(rules: &Rules, target: &[u8]) -> Result<usize, Ambiguous> {
    Ok(rules.decide("GET", "app.example.org", target)?.map_or(0, |(number, _)| number))
}

/// Spellings of a letter.
fn letter(letter: char) -> impl Strategy<Value = String> + use<> {
    let (upper, byte) = (letter.to_ascii_uppercase(), letter as u8);
    prop_oneof![
        12 => Just(letter.to_string()),
        1 => Just(upper.to_string()),
        1 => Just(format!("%{byte:02x}")),
        1 => Just(format!("%{byte:02X}")),
        1 => Just(format!("%{:02x}", upper as u8)),
        1 => Just(format!("%25{byte:02x}")),
        1 => Just(match letter {
            'i' => "%C4%B0".to_owned(),
            'k' => "\u{212a}".to_owned(),
            's' => "%c5%bf".to_owned(),
            letter => letter.to_string(),
        }),
    ]
}

fn word(word: &'static str) -> impl Strategy<Value = String> {
    let letters: Vec<_> = word.chars().map(letter).collect();
    letters.prop_map(|letters| letters.concat())
}

/// Separators of two segments that some server reads as a slash.
fn slash() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => Just("/"),
        2 => Just("//"),
        1 => Just("//x/"),
        1 => Just("/x/..//y/"),
        2 => Just("/./"),
        2 => Just("/%2e/"),
        3 => Just("/x/../"),
        2 => Just("/x/%2E./"),
        1 => Just("//x/../"),
        1 => Just("/x//../"),
        1 => Just("/x/y/../../"),
        1 => Just("/x//y/../../"),
        1 => Just("/../"),
        1 => Just("/%2e%2e/"),
        1 => Just("/..;/"),
        1 => Just("/x/..;y/"),
        1 => Just("/x/..%20/"),
        1 => Just("/x/.../"),
        1 => Just("/%252e%252e/"),
        1 => Just("/x/%c0%ae%c0%ae/"),
        1 => Just("/x/%e2%80%a5/"),
        1 => Just("/x/\u{ff0e}./"),
        1 => Just("/x/.%c2%ad./"),
        1 => Just("/x/..%ef%b8%8f/"),
        1 => Just("/x/..%ef%bc%8f"),
        1 => Just("/x/..\u{ff3c}"),
        1 => Just("%ef%bc%8f"),
        1 => Just("\\"),
        1 => Just("/\\"),
        1 => Just("%2f"),
        1 => Just("/%2F"),
        1 => Just("%5c"),
        1 => Just("%252f"),
    ]
    .prop_map(str::to_owned)
}

/// Text after a segment that some server ignores.
fn tail() -> impl Strategy<Value = String> {
    prop_oneof![
        16 => Just(""),
        1 => Just(";x"),
        1 => Just("%3bx=1"),
        1 => Just("."),
        1 => Just("%2e"),
        1 => Just(" "),
        1 => Just("%20."),
        1 => Just("%00"),
        1 => Just("#x"),
        1 => Just("%23"),
        1 => Just("%ef%bc%9b"),
        1 => Just("%ef%bc%9f"),
        1 => Just("%3f"),
        1 => Just("%"),
        1 => Just("\t"),
    ]
    .prop_map(str::to_owned)
}

/// Spellings of `/admin/kiosks/1`. Some server routes most of them there.
fn spelling() -> impl Strategy<Value = String> {
    let end = prop_oneof![
        4 => Just(""), 1 => Just("/"), 1 => Just("?x"), 1 => Just("?/../.."), 1 => Just("/.."),
        1 => Just("/../..//"), 1 => Just("/..%2f..%2f..%2fx"), 1 => Just("%2F.."),
    ];
    (slash(), word("admin"), tail(), slash(), word("kiosks"), tail(), slash(), end).prop_map(
        |(root, admin, one, between, kiosks, other, last, end)| {
            format!("{root}{admin}{one}{between}{kiosks}{other}{last}1{end}")
        },
    )
}

/// Random paths of parts that servers read in different ways.
fn random_path() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => Just("/"), 2 => Just("admin"), 1 => Just("Admin"), 1 => Just("x"), 2 => Just(".."),
        1 => Just("."), 1 => Just("%2e"), 1 => Just("%2f"), 1 => Just("%5c"), 1 => Just("%25"),
        1 => Just("2e"), 1 => Just(";"), 1 => Just("?"), 1 => Just("#"), 1 => Just("%"),
        1 => Just("\\"), 1 => Just(" "), 1 => Just("%61dmin"), 1 => Just("İ"), 1 => Just("%c0%ae"),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| format!("/{}", parts.concat()).into_bytes())
}

#[test]
fn the_models_route_as_nginx_and_caddy_do() {
    for (target, nginx, caddy) in [
        ("/admin/x", true, true),
        ("/Admin/x", false, true),
        ("/adm%C4%B0n", false, true),
        ("/%61dmin?x", true, true),
        ("//admin//x", true, true),
        ("/x/../admin", true, true),
        ("/x//../admin", true, true),
        ("/../admin", false, true),
        ("/x%2f..%2fadmin", true, true),
        ("/administrator", false, false),
        ("/admin#x", true, false),
        ("/admin/../x", false, false),
        ("/%zz/../admin", false, false),
    ] {
        let by_nginx = nginx_path(target.as_bytes(), true);
        assert_eq!(by_nginx.is_some_and(|path| is_below(&path, "/admin")), nginx, "{target}");
        let by_caddy = caddy_path(target.as_bytes());
        assert_eq!(by_caddy.is_some_and(|path| is_below(path.as_bytes(), "/admin")), caddy);
    }
}

#[test]
fn known_spellings_of_a_protected_path_match_its_rule_or_are_refused() {
    let rules = protecting("/admin");
    for target in ["/admin", "/admin/", "/admin//x", "/admin/%78", "/admin/x?z=/../.."] {
        assert_eq!(decide(&rules, target.as_bytes()), Ok(1), "{target}");
    }
    for target in [
        "/./admin",
        "/%61dmin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/admin/x/..",
        "//admin",
        "//x/admin",
        "/.//x/admin",
        "/Admin",
        "/adm%49n",
        "/admin;x",
        "/admin%3bx",
        "/x/..;/admin",
        "/x%2f..%2fadmin",
        "/x/..%2fadmin",
        "/x\\..\\admin",
        "/x/..%5cadmin",
        "/%2e%2e/admin",
        "/x/%252e%252e/admin",
        "/%2561dmin",
        "/x/%c0%ae%c0%ae/admin",
        "/x//../admin",
        "/public/..%ef%bc%8fadmin/x",
        "/public/%e2%80%a5/admin/x",
        "/public/.%ef%b8%8f./admin/x",
        "/admin%00",
        "/admin%20",
        "/admin.",
        "/admin%09",
        "/admin#",
        "/admin%23",
        "/admin%3f",
        "admin",
        "http://app.example.org/admin",
    ] {
        assert!(decide(&rules, target.as_bytes()).is_err(), "{target}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_spelling_of_a_protected_path_matches_the_public_rule(target in spelling()) {
        for folder in ["/admin", "/admin/kiosks"] {
            let decision = decide(&protecting(folder), target.as_bytes());
            if is_routed_below(target.as_bytes(), folder) {
                prop_assert!(matches!(decision, Ok(1) | Err(_)), "{} {:?}", target, decision);
            }
        }
    }

    #[test]
    fn no_spelling_of_a_protected_destination_matches_the_public_rule(
        target in spelling(),
        origin in prop::sample::select(vec!["", "http://app.example.org", "https://x:8443"]),
    ) {
        let original = Original {
            method: "COPY".to_owned(),
            host: "app.example.org".to_owned(),
            uri: b"/about".to_vec(),
            destination: Some(format!("{origin}{target}").into_bytes()),
        };
        if is_routed_below(target.as_bytes(), "/admin") {
            let rules = protecting("/admin");
            let decision = rules.decide_destination(&original).map(|decision| {
                decision.map(|decision| decision.rules().map(|(number, _)| number).collect())
            });
            let is_right = decision.is_err() || decision == Ok(Some(vec![1]));
            prop_assert!(is_right, "{}{} {:?}", origin, target, decision);
        }
    }

    #[test]
    fn no_random_path_to_a_protected_one_matches_the_public_rule(target in random_path()) {
        let decision = decide(&protecting("/admin"), &target);
        if is_routed_below(&target, "/admin") {
            let target = String::from_utf8_lossy(&target);
            prop_assert!(matches!(decision, Ok(1) | Err(_)), "{} {:?}", target, decision);
        }
    }

    #[test]
    fn every_server_routes_an_accepted_path_to_the_same_rule(target in random_path()) {
        if let Ok(rule) = decide(&protecting("/admin"), &target) {
            let by_nginx = nginx_path(&target, true).is_some_and(|path| is_below(&path, "/admin"));
            prop_assert_eq!(by_nginx, rule == 1);
            let by_caddy =
                caddy_path(&target).is_some_and(|path| is_below(path.as_bytes(), "/admin"));
            prop_assert_eq!(by_caddy, rule == 1);
        }
    }

    /// Without this, rules that refuse everything would pass the tests above.
    #[test]
    fn paths_that_servers_agree_about_are_accepted(
        escaped in prop::collection::vec(any::<bool>(), 4),
        slash in prop::sample::select(vec!["/", "//", "///"]),
        end in prop::sample::select(vec!["", "/", "?x=%2f;.."]),
    ) {
        // Each server decodes below a folder that it finds by any spelling.
        let letters = "1x~-".chars().zip(escaped);
        let name: String = letters.map(|(letter, escaped)| match escaped {
            true => format!("%{:02x}", letter as u8),
            false => letter.to_string(),
        }).collect();
        for (folder, rule) in [("/admin/kiosks", 1), ("/about/kiosks", 2), ("/a%20b/%C3%A9", 2)] {
            let target = format!("{folder}{slash}{name}{end}");
            prop_assert_eq!(decide(&protecting("/admin/kiosks"), target.as_bytes()), Ok(rule));
        }
    }

    #[test]
    fn no_request_makes_the_rules_panic(
        method in any::<String>(),
        host in any::<String>(),
        target in prop::collection::vec(any::<u8>(), 0..64),
        tail in "[/.%;?#\\\\0-9a-fA-F ]{0,24}",
    ) {
        let rules = protecting("/admin");
        let _ = rules.decide(&method, &host, &target);
        let target = [b"/", &target[..], tail.as_bytes()].concat();
        let _ = rules.decide("GET", &host, &target);
        let _ = rules.decide("GET", "", format!("/{tail}").as_bytes());
    }
}
