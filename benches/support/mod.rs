//! Shared by the benchmarks: settings, a user, and tokens of that user.
#![allow(dead_code, reason = "not every benchmark uses all of it")]

use std::path::Path;

use bearerd::Config;
use bearerd::auth::{Actor, Auth, NewUser, TokenRequest};
use bearerd::domain::{Abilities, Email, Name, Password, PlainToken};

pub type Failure = Box<dyn std::error::Error>;

pub const EMAIL: &str = "ada@example.org";
pub const PASSWORD: &str = "long enough";

/// Settings with a new database in `folder`, cheap password hashes and no limit on tokens.
pub fn settings(folder: &Path) -> Config {
    let database = folder.join("bench.sqlite");
    Config { database, bcrypt_cost: 4, max_tokens_per_user: None, ..Config::default() }
}

/// Creates the user.
pub async fn create_user(auth: &Auth) -> Result<(), Failure> {
    let user = NewUser {
        name: Name::parse("Ada")?,
        email: Email::parse(EMAIL)?,
        password: Password::chosen(PASSWORD.to_owned())?,
        abilities: Abilities::all(),
        admin: false,
    };
    auth.create_user(Actor::Operator, user).await?;
    Ok(())
}

/// Issues a token to the user.
pub async fn issue(auth: &Auth) -> Result<PlainToken, Failure> {
    Ok(auth.issue(Email::parse(EMAIL)?, token_request()?).await?.plain)
}

/// A request for a token with all abilities.
pub fn token_request() -> Result<TokenRequest, Failure> {
    Ok(TokenRequest { name: Name::parse("bench")?, abilities: None, expires_in: None })
}

/// The number of rounds, from the program's arguments; 5 by default.
pub fn rounds() -> usize {
    std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(5)
}
