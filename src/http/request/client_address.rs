//! The client's address: the peer's, or the one that a trusted proxy names in `X-Forwarded-For` or in
//! `Forwarded` (RFC 7239).
//!
//! Each proxy adds the address of its own peer at the right end. Read from the right, the first address that
//! is not a trusted proxy's is therefore the client's. The client can forge everything to the left of it. If
//! no address can be read, the peer's is used: many clients may then share one rate limit, but no client can
//! choose its address.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::dev::Payload;
use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, X_FORWARDED_FOR};
use actix_web::{FromRequest, HttpRequest};

use crate::config::TrustedProxies;

impl TrustedProxies {
    /// The address of the client whose request `peer` sent with these headers.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contain(peer) {
            return peer;
        }
        let old = self.named(headers, X_FORWARDED_FOR, address);
        let new = self.named(headers, FORWARDED, forwarded_for);
        match (old, new) {
            (Some(Some(client)), None) | (None, Some(Some(client))) => client,
            // A proxy that sets one header may pass on the other from the client.
            (Some(Some(client)), Some(Some(same))) if client == same => client,
            _ => peer,
        }
    }

    /// The right-most address in a list header that is not a trusted proxy's. `Some(None)` if there is no
    /// such address, or an invalid entry to the right of it. `None` without the header.
    fn named(
        &self,
        headers: &HeaderMap,
        header: HeaderName,
        read: fn(&str) -> Option<IpAddr>,
    ) -> Option<Option<IpAddr>> {
        let lines: Vec<_> = headers.get_all(header).collect();
        // A comma separates entries even between quotes. Otherwise a quote that the client opens could hide
        // the entry that the proxy adds. No address has a comma.
        let mut entries =
            lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
        (!lines.is_empty()).then(|| {
            entries
                .find_map(|entry| match str::from_utf8(entry).ok().and_then(read) {
                    Some(address) if self.contain(address) => None,
                    other => Some(other),
                })
                .flatten()
        })
    }
}

/// An address. It may have a port, and brackets around it.
fn address(entry: &str) -> Option<IpAddr> {
    let text = entry.trim_matches([' ', '\t']);
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().map(IpAddr::V6).ok();
    let address = text.parse().ok().or_else(bare);
    let address = address.or_else(|| text.parse::<SocketAddr>().map(|socket| socket.ip()).ok())?;
    Some(address.to_canonical())
}

/// The address in the only `for` of an element of `Forwarded`. `None` for an incomplete element, such as one
/// half of a quoted text with a comma.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.split_once('=')?;
        let quoted = value.trim_matches([' ', '\t']);
        let value = match quoted.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"')?,
            None => quoted,
        };
        if value.contains(['"', '\\']) {
            return None;
        }
        if name.trim_matches([' ', '\t']).eq_ignore_ascii_case("for")
            && found.replace(address(value)?).is_some()
        {
            return None;
        }
    }
    found
}

/// The client's address, as a handler's argument.
pub(crate) struct ClientAddress(pub(in crate::http) IpAddr);

impl FromRequest for ClientAddress {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // Connections without an address, as of a Unix socket, share one rate limit.
        let peer = request.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
        let client = match request.app_data::<TrustedProxies>() {
            Some(proxies) => proxies.client(peer, request.headers()),
            None => peer,
        };
        ready(Ok(Self(client)))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn proxies() -> TrustedProxies {
        let networks = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|text| text.parse().unwrap());
        TrustedProxies::new(networks.to_vec())
    }

    fn client<'a>(peer: &str, lines: impl IntoIterator<Item = (HeaderName, &'a [u8])>) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        proxies().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn x_forwarded_for_names_the_right_most_address_that_is_not_trusted() {
        for (lines, expected) in [
            (vec!["192.0.2.1"], "192.0.2.1"),
            (vec!["198.51.100.9, 192.0.2.1"], "192.0.2.1"),
            (vec!["198.51.100.9,192.0.2.1 ,\t10.9.9.9"], "192.0.2.1"),
            (vec!["198.51.100.9", "192.0.2.1", "10.9.9.9, 10.1.1.1"], "192.0.2.1"),
            (vec!["192.0.2.1:4711"], "192.0.2.1"),
            (vec!["2001:db8::1"], "2001:db8::1"),
            (vec!["[2001:db8::1]"], "2001:db8::1"),
            (vec!["[2001:db8::1]:4711"], "2001:db8::1"),
            (vec!["2001:db8::1, 2001:db8:ffff::1"], "2001:db8::1"),
            (vec!["::ffff:192.0.2.1, ::ffff:10.9.9.9"], "192.0.2.1"),
            // The client can send anything to the left of its address.
            (vec!["oops, , 192.0.2.1"], "192.0.2.1"),
            // No address can be read.
            (vec![], PROXY),
            (vec![""], PROXY),
            (vec!["10.9.9.9"], PROXY),
            (vec!["198.51.100.9, 10.9.9.9:99999"], PROXY),
            (vec!["198.51.100.9, unknown"], PROXY),
            (vec!["198.51.100.9, _hidden, 10.9.9.9"], PROXY),
            (vec!["198.51.100.9,"], PROXY),
            (vec!["198.51.100.9", ""], PROXY),
            (vec!["198.51.100.9, 192.0.2.256"], PROXY),
            (vec!["198.51.100.9, 192.0.2.01"], PROXY),
            (vec!["198.51.100.9, 192.0.2.1 192.0.2.2"], PROXY),
            (vec!["198.51.100.9, [192.0.2.1]"], PROXY),
            (vec!["198.51.100.9, [2001:db8::1"], PROXY),
            (vec!["198.51.100.9, fe80::1%eth0"], PROXY),
            (vec!["198.51.100.9, \"192.0.2.1\""], PROXY),
        ] {
            let headers = lines.iter().map(|line| (X_FORWARDED_FOR, line.as_bytes()));
            assert_eq!(client(PROXY, headers), expected, "{lines:?}");
        }
        let not_text = b"\xff\xfe, 192.0.2.1".as_slice();
        assert_eq!(client(PROXY, [(X_FORWARDED_FOR, not_text)]), "192.0.2.1");
        let not_text = b"198.51.100.9, \xff\xfe".as_slice();
        assert_eq!(client(PROXY, [(X_FORWARDED_FOR, not_text)]), PROXY);
    }

    #[test]
    fn forwarded_names_the_right_most_address_that_is_not_trusted() {
        for (lines, expected) in [
            (vec!["for=192.0.2.1"], "192.0.2.1"),
            (vec!["For=\"192.0.2.1:4711\";Proto=https;by=10.0.0.1"], "192.0.2.1"),
            (vec!["proto=http; for=\"[2001:db8::1]:4711\""], "2001:db8::1"),
            (vec!["for=198.51.100.9, for=192.0.2.1;host=\"a.example\", for=10.9.9.9"], "192.0.2.1"),
            (vec!["for=198.51.100.9", "for=192.0.2.1", "for=10.9.9.9"], "192.0.2.1"),
            (vec!["for=\"[::ffff:192.0.2.1]\""], "192.0.2.1"),
            // A quote that the client opens does not hide the element that the proxy adds.
            (vec!["for=198.51.100.9;host=\", for=192.0.2.1;host=\"a.example\""], "192.0.2.1"),
            // A host that the client chose does not become an element.
            (vec!["for=192.0.2.1;host=\"a, for=198.51.100.9\""], PROXY),
            (vec!["for=192.0.2.1;host=\"a, for=198.51.100.9;x=\\\"\""], PROXY),
            (vec!["for=192.0.2.1;host=\"a;for=198.51.100.9\""], PROXY),
            (vec!["for=198.51.100.9, for=unknown"], PROXY),
            (vec!["for=198.51.100.9, for=_hidden"], PROXY),
            (vec!["for=198.51.100.9, proto=https"], PROXY),
            (vec!["for=198.51.100.9, for=192.0.2.1;for=192.0.2.2"], PROXY),
            (vec!["for=198.51.100.9, for=\"192.0.2.1"], PROXY),
            (vec!["for=198.51.100.9, for=\""], PROXY),
            (vec!["for=198.51.100.9, for="], PROXY),
            (vec!["for=198.51.100.9, 192.0.2.1"], PROXY),
            (vec!["for=198.51.100.9,"], PROXY),
            (vec!["for=10.9.9.9"], PROXY),
        ] {
            let headers = lines.iter().map(|line| (FORWARDED, line.as_bytes()));
            assert_eq!(client(PROXY, headers), expected, "{lines:?}");
        }
    }

    #[test]
    fn two_headers_are_believed_if_they_agree() {
        let both = |old: &'static str, new: &'static str| {
            client(PROXY, [(X_FORWARDED_FOR, old.as_bytes()), (FORWARDED, new.as_bytes())])
        };
        assert_eq!(both("198.51.100.9, 192.0.2.1", "for=192.0.2.1"), "192.0.2.1");
        assert_eq!(both("192.0.2.1", "for=198.51.100.9"), PROXY);
        assert_eq!(both("192.0.2.1", "for=10.9.9.9"), PROXY);
        assert_eq!(both("", "for=192.0.2.1"), PROXY);
    }

    #[test]
    fn headers_of_an_untrusted_peer_are_ignored() {
        let claims = || {
            let lines = [(X_FORWARDED_FOR, "192.0.2.1"), (FORWARDED, "for=192.0.2.1")];
            lines.map(|(name, value)| (name, value.as_bytes()))
        };
        for (peer, expected) in [
            ("203.0.113.5", "203.0.113.5"),
            ("::ffff:203.0.113.5", "203.0.113.5"),
            ("2001:db8::5", "2001:db8::5"),
            (PROXY, "192.0.2.1"),
            ("::ffff:10.0.0.1", "192.0.2.1"),
            ("2001:db8:ffff::5", "192.0.2.1"),
        ] {
            assert_eq!(client(peer, claims()), expected, "{peer}");
        }
    }

    proptest! {
        #[test]
        fn a_client_can_not_choose_its_address(
            sent in prop::collection::vec("[ -~]{0,40}|(for=)?\"?(1|10|192)\\.0\\.2\\.[0-9]\"?[,;\"]*", 0..4),
            joined: bool,
            forwarded: bool,
        ) {
            let (name, added) = match forwarded {
                true => (FORWARDED, "for=192.0.2.1;host=\"a.example\";proto=https"),
                false => (X_FORWARDED_FOR, "192.0.2.1"),
            };
            let mut lines = sent;
            match lines.last_mut() {
                Some(last) if joined => *last = format!("{last}, {added}"),
                _ => lines.push(added.to_owned()),
            }
            let address = client(PROXY, lines.iter().map(|line| (name.clone(), line.as_bytes())));
            prop_assert_eq!(address, "192.0.2.1");
        }
    }
}
