//! Forms of `/api/introspect`. The answer is about the one field `token` as a second reader decodes it.
#![no_main]

use actix_web::test::TestRequest;
use bearerd::config::Config;
use bearerd_fuzz::service::Service;
use libfuzzer_sys::fuzz_target;

thread_local! {
    // Never dropped: at the end of the process, parts of it are gone already.
    static SERVICE: &'static Service = Box::leak(Box::new(Service::start(Config::default())));
}

// An @ is the live token.
fuzz_target!(|data: &[u8]| {
    SERVICE.with(|service| {
        let form =
            data.split(|&byte| byte == b'@').collect::<Vec<_>>().join(service.token.as_bytes());
        let request = TestRequest::post().uri("/api/introspect");
        let request = request.insert_header(("Content-Type", "application/x-www-form-urlencoded"));
        let answer = service.send(request.set_payload(form.clone()));
        let tokens: Vec<String> = form
            .split(|&byte| byte == b'&')
            .map(|pair| {
                let end = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
                (decoded(&pair[..end]), decoded(pair.get(end + 1..).unwrap_or_default()))
            })
            .filter_map(|(name, value)| (name == "token").then_some(value))
            .collect();
        match tokens.as_slice() {
            _ if form.len() > 64 * 1024 => assert_eq!(answer.status, 413),
            [token] if !token.is_empty() => {
                let is_live = service.is_token(token.trim_ascii().as_bytes());
                assert_eq!((answer.status, answer.json()["active"] == true), (200, is_live));
            }
            _ => assert_eq!(answer.status, 400),
        }
    });
});

/// Decodes a part of a form as the URL standard says.
fn decoded(text: &[u8]) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        rest = tail;
        match (first, digit(0).zip(digit(1))) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some((high, low))) => {
                bytes.push((high << 4 | low) as u8);
                rest = &tail[2..];
            }
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
