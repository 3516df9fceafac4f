//! Where a request holds its token: as `Authorization: Bearer …` (RFC 6750, section 2.1); in a header
//! of the operator's choice, for what must leave `Authorization` to the application behind; as the
//! password of HTTP Basic (RFC 7617), for programs that speak nothing else. Never in a URL.

use std::ops::Deref;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;
use secrecy::zeroize::Zeroizing;

use crate::auth;
use crate::config::TokenHeader;
use crate::http::response::error::ApiError;

/// Where a route looks for the token.
#[derive(Clone, Debug, Default)]
pub struct TokenSources {
    /// A header that holds the token and nothing else. Where it is sent, `Authorization` is not the
    /// server's business.
    header: Option<HeaderName>,
    /// Whether the password of HTTP Basic is one of them. The user's name may be anything.
    basic: bool,
}

/// The bytes of a token, as they were sent.
pub(in crate::http) enum Sent<'a> {
    Plain(&'a [u8]),
    Decoded(Zeroizing<Vec<u8>>),
}

impl Deref for Sent<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Plain(token) => token,
            Self::Decoded(token) => token,
        }
    }
}

impl TokenSources {
    /// `Authorization`, as bearer token or with HTTP Basic.
    pub(in crate::http) const BASIC: Self = Self { header: None, basic: true };

    /// `Authorization: Bearer`; this header, if one is named; and, for a proxy's questions, the
    /// password of HTTP Basic, if that is to be `basic`.
    pub fn new(header: Option<&TokenHeader>, basic: bool) -> Self {
        let header = header.and_then(|header| header.as_str().parse().ok());
        Self { header, basic }
    }

    /// Whether a request sends a token, or something in the place of one.
    pub(in crate::http) fn are_used_by(&self, headers: &HeaderMap) -> bool {
        let sends = |name| headers.contains_key(name);
        sends(&AUTHORIZATION) || self.header.as_ref().is_some_and(sends)
    }

    /// These sources, with or without the password of HTTP Basic.
    #[must_use]
    pub(in crate::http) fn with_basic(&self, basic: bool) -> Self {
        Self { header: self.header.clone(), basic }
    }

    /// A refusal as an answer. Where Basic is taken, a 401 offers it: programs that speak nothing else
    /// send a password only when asked for one.
    pub(in crate::http) fn challenge(&self, error: auth::Error) -> ApiError {
        match error {
            auth::Error::Unauthenticated | auth::Error::InvalidToken if self.basic => {
                ApiError::BasicToo(Box::new(error.into()))
            }
            error => error.into(),
        }
    }

    /// The token that a request sends: the scheme in any case, any run of spaces after it, trailing
    /// blanks dropped. `None` for none of the headers, another scheme, no token, or more than one
    /// header.
    pub(in crate::http) fn token<'a>(&self, headers: &'a HeaderMap) -> Option<Sent<'a>> {
        if let Some(name) = &self.header
            && headers.contains_key(name)
        {
            return Some(Sent::Plain(only(headers, name)?.trim_ascii())).filter(is_some);
        }
        let value = only(headers, &AUTHORIZATION)?;
        let end = value.iter().position(|&byte| byte == b' ')?;
        let (scheme, rest) = value.split_at(end);
        let rest = rest.trim_ascii();
        let sent = if scheme.eq_ignore_ascii_case(b"bearer") {
            Sent::Plain(rest)
        } else if self.basic && scheme.eq_ignore_ascii_case(b"basic") {
            Sent::Decoded(password(&Zeroizing::new(STANDARD.decode(rest).ok()?))?)
        } else {
            return None;
        };
        Some(sent).filter(is_some)
    }
}

/// What follows the first colon (RFC 7617). OAuth's clients encode it as a form does (RFC 6749,
/// section 2.3.1), and no token has a percent sign of its own.
fn password(pair: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let colon = pair.iter().position(|&byte| byte == b':')?;
    Some(Zeroizing::new(percent_decode(&pair[colon + 1..]).collect()))
}

fn is_some(sent: &Sent) -> bool {
    !sent.is_empty()
}

/// The value of a header that stands once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name);
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn read(sources: &TokenSources, lines: &[(&str, &[u8])]) -> Option<Vec<u8>> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        sources.token(&headers).map(|sent| sent.to_vec())
    }

    #[test]
    fn a_token_is_read_from_one_bearer_header_alone() {
        let read = |values: &[&[u8]]| {
            let lines: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
            read(&TokenSources::default(), &lines)
        };
        for (values, token) in [
            (&[b"Bearer x".as_slice()] as &[&[u8]], Some(b"x".as_slice())),
            (&[b"bearer   x"], Some(b"x")),
            (&[b"BEARER x \t"], Some(b"x")),
            (&[b"Bearer 1|x y"], Some(b"1|x y")),
            (&[b"Bearer \xff"], Some(b"\xff")),
            (&[], None),
            (&[b""], None),
            (&[b"Bearer"], None),
            (&[b"Bearer "], None),
            (&[b"Bearerx"], None),
            (&[b"Bearer\tx"], None),
            (&[b"Basic eDp5"], None),
            (&[b"Bearer x", b"Bearer x"], None),
        ] {
            assert_eq!(read(values).as_deref(), token, "{values:?}");
        }
    }

    #[test]
    fn basics_password_is_a_token_where_it_may_be() {
        let sources = TokenSources { basic: true, ..TokenSources::default() };
        for (value, token) in [
            ("Basic dXNlcjp0b2tlbg==", Some("token")),
            ("basic  OnRva2Vu ", Some("token")),
            ("Basic dXNlcjp0bzprZW4=", Some("to:ken")),
            ("Bearer token", Some("token")),
            ("Basic MTp4JTdDeQ==", Some("x|y")),
            ("Basic", None),
            ("Basic ", None),
            ("Basic dXNlcg==", None),
            ("Basic dXNlcjo=", None),
            ("Basic dXNlcjp0b2tlbg", None),
            ("Basic ?", None),
        ] {
            let lines = [("authorization", value.as_bytes())];
            assert_eq!(read(&sources, &lines).as_deref(), token.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn where_the_second_header_stands_authorization_does_not_count() {
        let header = Some(HeaderName::from_static("x-api-token"));
        let sources = TokenSources { header, ..TokenSources::default() };
        let bearer = ("authorization", b"Bearer theirs".as_slice());
        for (lines, token) in [
            (vec![("x-api-token", b" ours ".as_slice()), bearer], Some(b"ours".as_slice())),
            (vec![bearer], Some(b"theirs")),
            (vec![("x-api-token", b""), bearer], None),
            (vec![("x-api-token", b"one"), ("x-api-token", b"two"), bearer], None),
        ] {
            assert_eq!(read(&sources, &lines).as_deref(), token, "{lines:?}");
        }
    }
}
