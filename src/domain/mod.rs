//! The rules, and nothing else: what a token, an ability, an email and a password are, and when a
//! token is live. Nothing here reads a clock, draws a random number or touches a file; `now` and
//! randomness come in as parameters.

mod ability;
mod access;
mod email;
mod faults;
mod forward_auth_headers;
mod grant;
mod host;
mod issuer;
mod lifetime;
mod method;
mod name;
mod needs;
mod network;
mod origin;
mod original;
mod password;
mod path_pattern;
mod printable;
mod reading;
mod request_path;
mod time;
mod token;
mod token_header;
mod token_kind;
mod user;

pub use ability::{Abilities, Ability, AbilityError};
pub use access::{Access, Ambiguous, Rule, Rules};
pub use email::{Email, EmailError};
pub use faults::Faults;
pub use forward_auth_headers::ForwardAuthHeaders;
pub use grant::{Grant, Ungranted};
pub use host::{HostError, HostPattern, split_url};
pub use issuer::Issuer;
pub use lifetime::{Death, Lifetime};
pub use method::{Method, MethodError};
pub use name::{Name, NameError};
pub use needs::Needs;
pub use network::Network;
pub use origin::Origins;
pub use original::{Decision, Original, Undecided};
pub use password::{Password, PasswordError, PasswordHash};
pub use path_pattern::{PathPattern, PatternError};
pub use printable::{Escaped, escaped_json};
pub use request_path::{PathError, RequestPath};
pub use time::{Clock, Timestamp};
pub use token::{Malformed, PlainToken, PrefixError, Presented, Token, TokenHash, TokenPrefix};
pub use token_header::TokenHeader;
pub use token_kind::{Bond, TokenKind};
pub use user::{EmailChange, User};
