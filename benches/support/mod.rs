//! What the benchmarks share: a service with one user, and tokens of theirs.
#![allow(dead_code, reason = "not every benchmark uses all of it")]

use std::path::Path;

use bearerd::Config;
use bearerd::auth::{Actor, Auth, NewUser, TokenRequest};
use bearerd::domain::{Abilities, Email, Name, Password, PlainToken};

pub type Failure = Box<dyn std::error::Error>;

pub const EMAIL: &str = "ada@example.org";
pub const PASSWORD: &str = "long enough";

/// Settings for a database of its own in `folder`, cheap passwords, and any number of tokens.
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

/// Issues a token of theirs.
pub async fn issue(auth: &Auth) -> Result<PlainToken, Failure> {
    Ok(auth.issue(Email::parse(EMAIL)?, token_request()?).await?.plain)
}

/// What is asked of a new token.
pub fn token_request() -> Result<TokenRequest, Failure> {
    Ok(TokenRequest { name: Name::parse("bench")?, abilities: None, expires_in: None })
}

/// The number of rounds that the program's arguments ask for.
pub fn rounds() -> usize {
    std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(5)
}
