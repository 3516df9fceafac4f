//! An application with bearerd embedded. Reading posts needs the ability `posts:read`, writing them needs
//! `posts:write`. bearerd's own routes are under `/auth`.
//!
//! ```console
//! $ cargo run --no-default-features --example posts
//! A password for writer@example.org: correct horse
//! posts listening on http://127.0.0.1:8000
//! ```
//!
//! In another terminal:
//!
//! ```console
//! $ curl -s http://127.0.0.1:8000/auth/api/tokens -H 'Content-Type: application/json' \
//!     -d '{"email":"writer@example.org","password":"correct horse","device_name":"laptop"}'
//! {"token":"bd_…","token_type":"Bearer",…}
//! $ TOKEN=bd_…
//! $ curl -s http://127.0.0.1:8000/posts -H "Authorization: Bearer $TOKEN"
//! ["first post"]
//! ```
//!
//! The optional arguments are the database and the address to listen on. The first start creates the user and
//! reads the password from standard input.
#![allow(clippy::print_stdout, reason = "prints its address")]
#![allow(clippy::print_stderr, reason = "prompts for the password")]

use std::io::BufRead;
use std::net::TcpListener;
use std::sync::Mutex;

use actix_web::{App, HttpResponse, HttpServer, web};
use bearerd::Requirement::{Ability, LiveToken};
use bearerd::auth::{Actor, Error, NewUser};
use bearerd::config::Issuer;
use bearerd::domain::{Abilities, Email, Name, Password};
use bearerd::{Bearerd, Config, CurrentToken};
use serde_json::json;

type Posts = web::Data<Mutex<Vec<String>>>;

/// `GET /posts`. The guard has checked that the token has `posts:read`.
async fn list(posts: Posts) -> HttpResponse {
    match posts.lock() {
        Ok(posts) => HttpResponse::Ok().json(&*posts),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

/// `POST /posts`. The guard has checked that the token has `posts:write`.
async fn create(posts: Posts, text: web::Json<String>) -> HttpResponse {
    match posts.lock() {
        Ok(mut posts) => posts.push(text.into_inner()),
        Err(_) => return HttpResponse::InternalServerError().finish(),
    }
    HttpResponse::Created().finish()
}

/// `DELETE /posts`. The guard lets any live token through, and the handler checks the ability itself.
async fn clear(current: CurrentToken, posts: Posts) -> HttpResponse {
    if !current.token_can("posts:write") {
        let refusal = json!({"message": "Token does not have write access."});
        return HttpResponse::Forbidden().json(refusal);
    }
    match posts.lock() {
        Ok(mut posts) => posts.clear(),
        Err(_) => return HttpResponse::InternalServerError().finish(),
    }
    HttpResponse::NoContent().finish()
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = std::env::args().nth(1).unwrap_or_else(|| "posts.sqlite".to_owned());
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(address)?;
    let origin = format!("http://{}", listener.local_addr()?);
    let bearerd = Bearerd::open(&Config {
        database: database.into(),
        // The public URL of bearerd's routes.
        issuer: Issuer::parse(&format!("{origin}/auth")),
        ..Config::default()
    })?;
    create_writer(&bearerd).await?;

    let posts: Posts = web::Data::new(Mutex::new(vec!["first post".to_owned()]));
    let inside = bearerd.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(posts.clone())
            .service(web::scope("/auth").configure(inside.routes()))
            .service(
                web::resource("/posts")
                    .route(web::get().to(list).wrap(inside.guard(Ability("posts:read"))))
                    .route(web::post().to(create).wrap(inside.guard(Ability("posts:write"))))
                    .route(web::delete().to(clear).wrap(inside.guard(LiveToken))),
            )
    })
    .listen(listener)?;
    println!("posts listening on {origin}");
    server.run().await?;
    bearerd.close().await;
    Ok(())
}

/// Creates the user at the first start.
async fn create_writer(bearerd: &Bearerd) -> Result<(), Box<dyn std::error::Error>> {
    let email = Email::parse("writer@example.org")?;
    match bearerd.auth().user_by_email(&email).await {
        Ok(_) => return Ok(()),
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    eprint!("A password for {email}: ");
    let mut password = String::new();
    std::io::stdin().lock().read_line(&mut password)?;
    let writer = NewUser {
        name: Name::parse("Writer")?,
        email,
        password: Password::chosen(password.trim_end().to_owned())?,
        abilities: Abilities::parse(["posts:*", "tokens:read"])?,
        admin: false,
    };
    bearerd.auth().create_user(Actor::Operator, writer).await?;
    Ok(())
}
