//! The headers in which a request sends a token. A model decides whether they send the live token: exactly
//! then the request passes.
#![no_main]

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::test::TestRequest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bearerd::config::{Config, TokenHeader};
use bearerd_fuzz::service::Service;
use libfuzzer_sys::fuzz_target;

thread_local! {
    // Never dropped: at the end of the process, parts of it are gone already.
    static SERVICE: &'static Service = Box::leak(Box::new(Service::start(Config {
        token_header: TokenHeader::parse("X-Api-Token"),
        verify_basic_auth: true,
        ..Config::default()
    })));
}

// Each line is a header: A is Authorization, B is Authorization with the rest in base64 after `Basic `, and T
// is the header of the settings. An @ is the live token.
fuzz_target!(|data: &[u8]| {
    SERVICE.with(|service| {
        let mut request = TestRequest::get().uri("/api/verify");
        let (mut authorization, mut own) = (Vec::new(), Vec::new());
        for line in data.split(|&byte| byte == b'\n').take(8) {
            let Some((kind, value)) = line.split_first() else { continue };
            let mut value = with_token(value, &service.token);
            let (name, values) = match kind {
                b'A' | b'B' => ("authorization", &mut authorization),
                b'T' => ("x-api-token", &mut own),
                _ => continue,
            };
            if *kind == b'B' {
                value = format!("Basic {}", STANDARD.encode(&value)).into_bytes();
            }
            // What a header can't have, no server lets through.
            let Ok(header) = HeaderValue::from_bytes(&value) else { continue };
            request = request.append_header((HeaderName::from_static(name), header));
            values.push(value);
        }
        let passes = sent(&own, &authorization).is_some_and(|sent| service.is_token(&sent));
        let answer = service.send_as_is(request);
        assert_eq!(answer.status, if passes { 200 } else { 401 });
        assert_eq!(answer.headers.contains_key("remote-user"), passes);
    });
});

fn with_token(text: &[u8], token: &str) -> Vec<u8> {
    text.split(|&byte| byte == b'@').collect::<Vec<_>>().join(token.as_bytes())
}

/// The token that the headers send, if they send one.
fn sent(own: &[Vec<u8>], authorization: &[Vec<u8>]) -> Option<Vec<u8>> {
    match (own, authorization) {
        ([], [value]) => {
            let blank = value.iter().position(|&byte| byte == b' ')?;
            let rest = value[blank..].trim_ascii();
            match value[..blank].to_ascii_lowercase().as_slice() {
                b"bearer" => Some(rest.to_vec()),
                b"basic" => {
                    let pair = STANDARD.decode(rest).ok()?;
                    let colon = pair.iter().position(|&byte| byte == b':')?;
                    Some(percent_decoded(&pair[colon + 1..]))
                }
                _ => None,
            }
        }
        ([value], _) => Some(value.trim_ascii().to_vec()),
        _ => None,
    }
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let hex = |at: usize| char::from(*text.get(at)?).to_digit(16);
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < text.len() {
        match hex(at + 1).zip(hex(at + 2)).filter(|_| text[at] == b'%') {
            Some((high, low)) => {
                decoded.push((high << 4 | low) as u8);
                at += 3;
            }
            None => {
                decoded.push(text[at]);
                at += 1;
            }
        }
    }
    decoded
}
