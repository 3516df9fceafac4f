//! The domain types and rules: tokens, abilities, emails, passwords and access rules, and when a token is
//! live. Everything here is pure: nothing reads a clock, generates a random number or touches a file. `now`
//! and randomness are parameters.

mod ability;
mod access;
mod email;
mod grant;
mod lifetime;
mod name;
mod network;
mod password;
mod printable;
mod requirement;
mod stored_token;
mod time;
mod token;
mod token_kind;
mod user;
mod validation;

pub use ability::{Abilities, AbilityError};
pub(crate) use access::is_token;
pub use access::{
    Ambiguous, Decision, ForwardAuthHeaders, HostError, HostPattern, Method, MethodError, Original,
    PathError, PathPattern, PatternError, RequestPath, Rule, Rules, Undecided, split_url,
};
pub use email::{Email, EmailError};
pub use grant::{Grant, Ungranted};
pub(crate) use lifetime::LifeCheck;
pub use lifetime::{Lifetime, NotLive};
pub use name::{Name, NameError};
pub use network::Network;
pub use password::{Password, PasswordError, PasswordHash};
pub use printable::{Escaped, escaped_json};
pub use requirement::Requirement;
pub use stored_token::{Bond, Token};
pub use time::{Clock, Timestamp};
pub use token::{Malformed, PlainToken, PrefixError, PresentedToken, TokenHash, TokenPrefix};
pub use token_kind::TokenKind;
pub use user::{EmailChange, User};
pub use validation::ValidationErrors;
