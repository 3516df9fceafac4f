//! The bare handler: an actix-web server that answers any request with the same JSON as bearerd's
//! `GET /api/user`, given as the first argument, and does nothing else. Prints its address.
#![allow(clippy::print_stdout, reason = "whoever starts it reads the address")]

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use actix_web::{App, HttpResponse, HttpServer, web};

fn main() -> std::io::Result<()> {
    let Some(body) = std::env::args().nth(1).filter(|argument| argument.starts_with('{')) else {
        return Ok(());
    };
    let body = web::Bytes::from(body);
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    println!("bare listening on http://{}", listener.local_addr()?);
    actix_web::rt::System::new().block_on(
        HttpServer::new(move || {
            let body = body.clone();
            App::new().route(
                "/api/user",
                web::get().to(move || {
                    let body = body.clone();
                    async move {
                        HttpResponse::Ok()
                            .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
                            .insert_header((
                                CONTENT_TYPE,
                                HeaderValue::from_static("application/json"),
                            ))
                            .body(body)
                    }
                }),
            )
        })
        .keep_alive(std::time::Duration::from_secs(75))
        .listen(listener)?
        .run(),
    )
}
