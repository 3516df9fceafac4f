//! The program, started as a user starts it. Each command has a file named as in `src/cli`.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod backup;
mod check;
mod completions;
mod explain;
mod files;
mod input;
mod logger;
mod migrate;
mod prune;
#[cfg(unix)]
mod run_all;
mod serve;
mod settings;
mod start;
mod support;
mod terminal;
mod tls;
mod token;
mod user;
