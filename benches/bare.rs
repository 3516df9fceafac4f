//! The bare handler: an actix-web server that answers `GET PATH` with a fixed response. Its arguments are the
//! path, the body, and headers as `Name: value`. It prints its address.
#![allow(clippy::print_stdout, reason = "prints its address")]

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{App, HttpResponse, HttpServer, web};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    // `cargo bench` runs this without arguments; then it does nothing.
    let (Some(path), Some(body)) = (arguments.next(), arguments.next()) else { return Ok(()) };
    let body = web::Bytes::from(body);
    let headers = arguments.map(|line| header(&line)).collect::<Result<Vec<_>, _>>()?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    println!("bare listening on http://{}", listener.local_addr()?);
    actix_web::rt::System::new().block_on(
        HttpServer::new(move || {
            let (body, headers) = (body.clone(), headers.clone());
            App::new().route(
                &path,
                web::get().to(move || {
                    let mut answer = HttpResponse::Ok();
                    for header in &headers {
                        answer.insert_header(header.clone());
                    }
                    std::future::ready(answer.body(body.clone()))
                }),
            )
        })
        .keep_alive(std::time::Duration::from_secs(75))
        .listen(listener)?
        .run(),
    )?;
    Ok(())
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let (name, value) = line.split_once(": ").ok_or("a header is Name: value")?;
    Ok((name.parse()?, value.parse()?))
}
