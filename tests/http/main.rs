//! The server, through HTTP. Each test starts its own server on a free port with a fresh database. The
//! files are named as in `src/http/api`, others by topic.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod access_control;
mod connections;
mod cors;
mod emails;
mod errors;
mod explain;
mod guard;
mod health;
mod kinds;
mod limits;
mod login;
mod login_rounds;
mod oauth;
mod openapi;
mod original_request;
mod quota;
mod shutdown;
mod support;
mod sweep;
mod tls;
mod tokens;
mod upgrade;
mod user;
mod users;
mod verify;
