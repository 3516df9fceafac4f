//! The operations of those who hand their checking over: proxies, other services, and whoever wants
//! to know why.

use super::operation::{Operation, Query};
use crate::auth::{Error, Explanation};
use crate::http::api::explain::Question;
use crate::http::api::oauth::{FORM, HeldToken, Introspection, Metadata};
use crate::http::response::error::ApiError;

pub(super) const TAG: &str = "proxies and services";

pub(in crate::http) const VERIFY: Operation =
    Operation::new(TAG, "verify", "Say whether a request may pass, and whose it is")
        .checks_token()
        .details(
            "For a reverse proxy, with any method. The token needs the abilities that are asked about. \
             If there are access rules, a trusted proxy names the original request as the setting \
             `forward_auth_headers` says: in `X-Forwarded-Method`, `X-Forwarded-Host` and \
             `X-Forwarded-Uri`; in `X-Original-Method` and `X-Original-URI` beside `Host`; in \
             `X-Original-Method` and `X-Original-URL`; or, as Envoy does, by its own method and host \
             and by its path and query behind `/api/verify`. If `Destination` names a second \
             resource, as it does with COPY and MOVE, the rules for that count as well. If the rules \
             make the request public, no token is needed, and no identity headers are sent.",
        )
        .query(&[
            Query::Abilities("ability", "Abilities that are needed, all of them"),
            Query::Abilities("any", "Abilities of which one is needed"),
        ])
        .answers_with(&[
            "remote-user",
            "x-auth-user-id",
            "x-auth-user-name",
            "x-auth-token-id",
            "x-auth-abilities",
        ])
        .refuses(&[
            || Error::Unclear("The path must not hold %2f or %5c.".to_owned()).into(),
            || Error::NoRule.into(),
            || Error::InsufficientScope("posts:read posts:write".to_owned()).into(),
        ]);

pub(in crate::http) const INTROSPECT: Operation =
    Operation::new(TAG, "introspect", "Describe a token (RFC 7662)")
        .reads_form::<HeldToken>(FORM)
        .answers::<Introspection>(200)
        .refuses(&[|| INVALID]);

pub(in crate::http) const REVOKE: Operation =
    Operation::new(TAG, "revoke", "Revoke a token (RFC 7009)")
        .details(
            "The holder of a token's string may revoke it, also if it has expired or its owner is \
             disabled: it never passes again. An unknown token is a success too.",
        )
        .reads_form::<HeldToken>(FORM)
        .answers_with(&[])
        .refuses(&[|| INVALID]);

pub(in crate::http) const EXPLAIN: Operation =
    Operation::new(TAG, "explain", "Say why a request would pass, or not")
        .details("It counts as no use of the token.")
        .reads::<Question>()
        .answers_data::<Explanation>(200);

pub(in crate::http) const METADATA: Operation =
    Operation::new(TAG, "metadata", "Name the endpoints for OAuth's clients (RFC 8414)")
        .answers::<Metadata>(200);

const INVALID: ApiError = ApiError::InvalidRequest("The form must have one field token.");
