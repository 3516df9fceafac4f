//! Access rules: which requests a reverse proxy may let pass. Contains the rules, the parts of a request that
//! they match, and the comparison of the two.

mod comparison;
mod forward_auth_headers;
mod host;
mod method;
mod original_request;
mod path_pattern;
mod request_path;
mod rules;

pub use forward_auth_headers::ForwardAuthHeaders;
pub use host::{HostError, HostPattern, split_url};
pub(crate) use method::is_token;
pub use method::{Method, MethodError};
pub use original_request::{Decision, Original, Undecided};
pub use path_pattern::{PathPattern, PatternError};
pub use request_path::{PathError, RequestPath};
pub use rules::{Ambiguous, Rule, Rules};
