//! The rules, and nothing else: what a token, an ability, an email and a password are, and when a
//! token is live. Nothing here reads a clock, draws a random number or touches a file; `now` and
//! randomness come in as parameters.

mod ability;
mod email;
mod faults;
mod life;
mod name;
mod needs;
mod origin;
mod password;
mod time;
mod token;
mod user;

pub use ability::{Abilities, Ability, AbilityError};
pub use email::{Email, EmailError};
pub use faults::Faults;
pub use life::{Death, Lifetime};
pub use name::{Name, NameError};
pub use needs::Needs;
pub use origin::Origins;
pub use password::{Password, PasswordError, PasswordHash};
pub use time::{Clock, Timestamp};
pub use token::{Malformed, PlainToken, PrefixError, Presented, Token, TokenHash, TokenPrefix};
pub use user::User;
