//! The places of a request's token: `Authorization: Bearer …` (RFC 6750, section 2.1); a header of the
//! operator's choice, if the application needs `Authorization` for itself; and the password of HTTP Basic
//! (RFC 7617), for programs that support nothing else. A token is never read from a URL.

use std::ops::Deref;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;
use secrecy::zeroize::Zeroizing;

use super::single;
use crate::auth;
use crate::config::TokenHeader;
use crate::http::response::error::ApiError;

/// The places in which a route looks for the token.
#[derive(Clone, Debug, Default)]
pub struct TokenSources {
    /// A header that holds only the token. If it is sent, `Authorization` is ignored.
    header: Option<HeaderName>,
    /// Whether the password of HTTP Basic may be the token. The user name is ignored.
    basic: bool,
}

/// The bytes of a sent token.
pub(crate) enum Sent<'a> {
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
    /// `Authorization`, as a bearer token or with HTTP Basic.
    pub(crate) const BASIC: Self = Self { header: None, basic: true };

    /// `Authorization: Bearer`, and this header. `basic` says whether `/api/verify` accepts HTTP Basic.
    pub fn new(header: Option<&TokenHeader>, basic: bool) -> Self {
        let header = header.and_then(|header| header.as_str().parse().ok());
        Self { header, basic }
    }

    /// Whether a request has a header that could hold a token.
    pub(crate) fn are_used_by(&self, headers: &HeaderMap) -> bool {
        let sends = |name| headers.contains_key(name);
        sends(&AUTHORIZATION) || self.header.as_ref().is_some_and(sends)
    }

    /// These sources, with or without the password of HTTP Basic.
    #[must_use]
    pub(crate) fn with_basic(&self, basic: bool) -> Self {
        Self { header: self.header.clone(), basic }
    }

    /// A refusal as an answer. If HTTP Basic is accepted, a 401 has a challenge for it: many programs send a
    /// password only after one.
    pub(crate) fn challenge(&self, error: auth::Error) -> ApiError {
        match error {
            auth::Error::Unauthenticated | auth::Error::InvalidToken if self.basic => {
                ApiError::BasicToo(Box::new(error.into()))
            }
            error => error.into(),
        }
    }

    /// The token of a request, without blanks around it. The scheme may be in any case. `None` if there is
    /// no token, the scheme is another one, or the header is repeated.
    pub(crate) fn token<'a>(&self, headers: &'a HeaderMap) -> Option<Sent<'a>> {
        if let Some(name) = &self.header
            && headers.contains_key(name)
        {
            return Some(Sent::Plain(single(headers, name)?.as_bytes().trim_ascii()))
                .filter(is_some);
        }
        let value = single(headers, &AUTHORIZATION)?.as_bytes();
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

/// The password: the part after the first colon (RFC 7617). It is percent-decoded, because OAuth clients
/// encode it (RFC 6749, section 2.3.1). No token has a percent sign.
fn password(pair: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let colon = pair.iter().position(|&byte| byte == b':')?;
    Some(Zeroizing::new(percent_decode(&pair[colon + 1..]).collect()))
}

fn is_some(sent: &Sent) -> bool {
    !sent.is_empty()
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
    fn a_token_is_read_from_exactly_one_bearer_header() {
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
    fn the_password_of_basic_is_a_token_if_basic_is_accepted() {
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
    fn authorization_is_ignored_if_the_other_header_is_sent() {
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
