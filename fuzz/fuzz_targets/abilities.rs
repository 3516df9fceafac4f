//! Lists of abilities, and what tokens with them may do. Fewer abilities never allow more, what two lists share
//! is what both grant, and no token can issue one that may do more than itself.
#![no_main]

use bearerd::domain::{
    Abilities, Email, Grant, Lifetime, Name, Requirement, Timestamp, Token, TokenKind, User,
};
use bearerd_fuzz::lines;
use libfuzzer_sys::fuzz_target;

const RESERVED: [&str; 5] = ["tokens:write", "account:write", "admin", "introspect", "events:read"];

// The first line is a token's list, the second its owner's, the third a list that is asked for; each is
// separated by spaces. Further lines are abilities to ask about. The length chooses the token's kind.
fuzz_target!(|data: &[u8]| {
    let lines = lines(data);
    let read = |at: usize| {
        let line = lines.get(at).map_or("", String::as_str);
        Abilities::parse(line.split(' ').filter(|text| !text.is_empty()))
    };
    let (Ok(own), Ok(owners), Ok(asked)) = (read(0), read(1), read(2)) else { return };
    let kind = TokenKind::ALL[data.len() % 3];
    let held = own.clone().held_by(kind);
    let probes: Vec<&str> = lines.iter().skip(3).map(String::as_str).chain(RESERVED).collect();
    let probes =
        || probes.iter().copied().chain(own.iter()).chain(owners.iter()).chain(asked.iter());

    for list in [&own, &owners, &asked] {
        let texts: Vec<&str> = list.iter().collect();
        assert_eq!(Abilities::parse(&texts).as_ref(), Ok(list));
        assert_eq!(Abilities::from_stored(list.as_scope().to_owned()), *list);
        for left_out in 0..texts.len() {
            let mut fewer = texts.clone();
            fewer.remove(left_out);
            let fewer = Abilities::parse(fewer).expect("a part of a list");
            let grants = |list: &Abilities, what| list.clone().held_by(kind).grant(what);
            assert!(probes().all(|what| !grants(&fewer, what) || grants(list, what)));
        }
    }
    let shared = held.shared_with(&owners);
    for what in probes() {
        assert!(own.grant(what) || !held.grant(what), "{what}");
        assert_eq!(shared.grant(what), held.grant(what) && owners.grant(what), "{what}");
        let is_reserved = RESERVED.contains(&what) && kind != TokenKind::Login;
        assert!(!is_reserved || held.grant(what) == own.iter().any(|one| one == what), "{what}");
    }

    let (token, owner) = rows(kind, held, owners.clone());
    let meets = |requirement: Requirement| requirement.check(&token, &owner).is_ok();
    let can = |what: &str| shared.grant(what);
    assert_eq!(meets(Requirement::All(asked.clone())), asked.iter().all(can));
    assert_eq!(meets(Requirement::Any(asked.clone())), asked.iter().any(can));

    let grant = Grant::by_token(&token, &owner, Lifetime::NEVER);
    for request in [None, Some(asked.clone())] {
        let Ok(issued) = grant.abilities(request.clone()) else { continue };
        let issued_shared = issued.shared_with(&owners);
        for what in probes() {
            assert!(!issued_shared.grant(what) || can(what), "{what} by {request:?}");
        }
    }
});

fn rows(kind: TokenKind, abilities: Abilities, owners: Abilities) -> (Token, User) {
    let (now, name) = (Timestamp::from_unix(0), Name::from_stored("x".to_owned()));
    let token = Token {
        id: 1,
        kind,
        bond: None,
        name: name.clone(),
        abilities,
        created_at: now,
        last_used_at: None,
        expires_at: None,
        revoked_at: None,
    };
    let user = User {
        id: 1,
        name,
        email: Email::from_stored("x".to_owned()),
        abilities: owners,
        admin: false,
        disabled_at: None,
        created_at: now,
        updated_at: now,
    };
    (token, user)
}
