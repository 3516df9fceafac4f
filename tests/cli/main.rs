//! The program, as a person starts it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod explain;
mod maintenance;
#[cfg(unix)]
mod run_all;
mod serve;
mod settings;
mod start;
mod support;
mod terminal;
mod tls;
mod tokens;
mod users;
