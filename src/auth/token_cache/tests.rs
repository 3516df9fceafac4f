//! That the cache is bounded in bytes, and holds what it is meant to hold.

use super::*;
use crate::app::block_on;
use crate::config::Config;
use crate::domain::{Abilities, Email, Name, TokenKind};

/// The token with this number and these abilities of its own, and its owner.
fn row(owner: i64, id: i64, abilities: &Abilities, own: &Abilities) -> (Token, User) {
    let now = Timestamp::from_unix(0);
    let name = Name::parse("Ada").unwrap();
    let token = Token {
        id,
        kind: TokenKind::Login,
        bond: None,
        name: name.clone(),
        abilities: own.clone(),
        created_at: now,
        last_used_at: None,
        expires_at: None,
        revoked_at: None,
    };
    let user = User {
        id: owner,
        name,
        email: Email::parse("ada@example.org").unwrap(),
        abilities: abilities.clone(),
        admin: false,
        disabled_at: None,
        created_at: now,
        updated_at: now,
    };
    (token, user)
}

/// A list of 10,000 bytes, as long as a list may be, another one for each number.
fn long_list(number: i64) -> Abilities {
    Abilities::from_stored(format!("{number:010000}"))
}

fn cache(bytes: u64) -> TokenCache {
    let clock: Clock = Arc::new(|| Timestamp::from_unix(0));
    TokenCache::new(bytes, Arc::new(CacheInvalidation::always_fresh()), Lifetime::NEVER, clock)
}

/// Looks rows up one after the other, and gives the sessions that are still cached.
fn cached(cache: &TokenCache, rows: impl Iterator<Item = (Token, User)>) -> Vec<Arc<Session>> {
    let checked: Vec<_> = block_on(async {
        let mut checked = Vec::new();
        for row in rows {
            let hash = TokenHash::of(&row.0.id.to_le_bytes());
            let presented = PresentedToken { hash, id: None };
            let session = cache.look_up(&presented, async |_| Ok(Some(row.clone()))).await;
            checked.push(Arc::downgrade(&session.unwrap().unwrap()));
        }
        checked
    });
    checked.iter().filter_map(std::sync::Weak::upgrade).collect()
}

#[test]
fn the_default_cache_holds_100_000_tokens_of_one_user() {
    let cache = cache(Config::default().cache_size);
    let rows = (0..100_000).map(|id| row(1, id, &Abilities::all(), &Abilities::all()));
    assert_eq!(cached(&cache, rows).len(), 100_000);
}

#[test]
fn the_cache_is_bounded_in_bytes_whatever_tokens_and_owners_hold() {
    const SIZE: u64 = 8 << 20;
    let all = Abilities::all();
    let usual = |id| row(id, id, &all, &all);
    let long_tokens = |id| row(1, id, &all, &long_list(id));
    let long_owners = |id| row(id / 3, id, &long_list(id / 3), &all);
    let both = |id| row(id, id, &long_list(id), &long_list(-id));
    let rows: [&dyn Fn(i64) -> (Token, User); 4] = [&usual, &long_tokens, &long_owners, &both];
    for (kind, row) in rows.into_iter().enumerate() {
        let cache = cache(SIZE);
        let sessions = cached(&cache, (1..20_000).map(row));
        let mut bytes = 0;
        let mut owners = std::collections::HashMap::new();
        for session in &sessions {
            let lists = [&session.token.abilities, &session.abilities];
            let own = lists.iter().filter(|list| !list.share_memory(&session.user.abilities));
            let own = own.map(|list| list.as_scope().len()).max().unwrap_or(0);
            bytes += size_of::<Session>() + own;
            let owner = size_of::<CachedUser>() + session.user.abilities.as_scope().len();
            owners.insert(Arc::as_ptr(&session.user), owner);
        }
        bytes += owners.values().sum::<usize>();
        assert!(bytes as u64 <= SIZE, "{kind}: {bytes} bytes in {} sessions", sessions.len());
        assert!(sessions.len() >= 50, "{kind}: {} sessions", sessions.len());
    }
}

#[test]
fn owners_that_no_session_has_make_room_for_others() {
    let cache = cache(4 << 20);
    for id in 1..1000 {
        let (_, user) = row(id, id, &long_list(id), &Abilities::all());
        let owner = cache.users.share(user.clone());
        assert!(Arc::ptr_eq(&owner, &cache.users.share(user)), "{id} is shared");
    }
}
