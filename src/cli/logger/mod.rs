//! The log: one line for each record, with control characters escaped. Of each kind of line from `info` up,
//! one a second is logged, so that a client can't fill the disk (`sampler`). The lines of `debug` and
//! `trace` are not limited.
//!
//! A server writes its log on a thread of its own, from a bounded queue (`queue`): no request waits for
//! standard error, even if it is a pipe that nobody reads. Commands write each line at once, in order with
//! their output.

mod queue;
mod sampler;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};
use std::panic::PanicHookInfo;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use env_logger::{Target, WriteStyle};
use log::{Level, LevelFilter, Log, Metadata, Record};

use self::queue::Queue;
use self::sampler::{Sample, Sampler};
use crate::app;
use crate::domain::Escaped;
use crate::metrics::MALFORMED_REQUESTS;

/// How long the exit waits for the lines that are not written yet.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the writing thread looks for counts of skipped lines.
const TICK: Duration = Duration::from_secs(1);
/// The most bytes of a message. The rest is cut off.
const LONGEST: usize = 16 * 1024;
/// The fewest letters and digits in a row that are redacted. A token has 48, even without its prefix.
const SHORTEST_SECRET: usize = 32;
/// The target of panics.
const PANIC: &str = "bearerd::panic";

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Starts the log of a command, which goes to standard error. `filter` is an env_logger filter.
pub(super) fn start(filter: &str) {
    set(Logger { lines: build(filter).build(), queue: None, sampler: Mutex::default() });
}

/// Starts the log of a server. Panics are logged too.
///
/// # Errors
/// The operating system's, if there can be no thread.
pub(super) fn start_queued(filter: &str) -> io::Result<()> {
    let output = stderr()?;
    let queue = Arc::new(Queue::default());
    let lines = build(filter)
        .target(Target::Pipe(Box::new(Tail(queue.clone()))))
        .write_style(if has_colors() { WriteStyle::Always } else { WriteStyle::Never })
        .build();
    set(Logger { lines, queue: Some(queue.clone()), sampler: Mutex::default() });
    std::panic::set_hook(Box::new(log_panic));
    std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&queue, output))?;
    Ok(())
}

fn build(filter: &str) -> env_logger::Builder {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(filter);
    builder
}

fn set(logger: Logger) {
    let logger = LOGGER.get_or_init(|| logger);
    // This fails only if another logger is set already.
    if log::set_logger(logger).is_ok() {
        // Malformed requests are logged as errors and counted here, even if the filter hides them.
        log::set_max_level(logger.lines.filter().max(LevelFilter::Error));
    }
}

/// Standard error, without the standard library's lock on it: the writing thread may hold the lock for as long
/// as nobody reads, and whatever else prints would wait for it.
#[cfg(unix)]
fn stderr() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd as _;
    Ok(io::stderr().as_fd().try_clone_to_owned()?.into())
}

#[cfg(not(unix))]
fn stderr() -> io::Result<io::Stderr> {
    Ok(io::stderr())
}

fn has_colors() -> bool {
    io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_some_and(|terminal| terminal != "dumb")
}

/// The writing thread, which ends with the process.
fn write(queue: &Queue, mut output: impl Write) {
    loop {
        let dropped = queue.write_to(&mut output, TICK);
        let Some(logger) = LOGGER.get() else { return };
        if dropped > 0 {
            logger.print(
                Level::Warn,
                module_path!(),
                &format!("{dropped} lines were lost, because standard error could not be written"),
            );
        }
        logger.report_skipped(false);
    }
}

/// Prints a line on standard error without a time and a level: why the program ends.
pub(super) fn print_error(line: &str) {
    match LOGGER.get().and_then(|logger| logger.queue.as_ref()) {
        Some(queue) => queue.push(format!("{line}\n").as_bytes()),
        // Unlike `eprintln!`, this does not panic if standard error can't be written.
        None => drop(writeln!(io::stderr(), "{line}")),
    }
}

/// Waits for the lines that are not written yet when it is dropped, also by a panic. Standard error may never
/// take them, so the wait is short.
pub(super) struct FlushAtExit;

impl Drop for FlushAtExit {
    fn drop(&mut self) {
        let Some(logger) = LOGGER.get() else { return };
        if let Some(queue) = &logger.queue {
            logger.report_skipped(true);
            queue.flush(PATIENCE);
        }
    }
}

/// The end of the queue, to which env_logger writes.
struct Tail(Arc<Queue>);

impl Write for Tail {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Logger {
    lines: env_logger::Logger,
    /// For a server.
    queue: Option<Arc<Queue>>,
    sampler: Mutex<Sampler>,
}

impl Logger {
    /// Prints a line without counting it.
    fn print(&self, level: Level, target: &str, text: &dyn Display) {
        let metadata = Metadata::builder().level(level).target(target).build();
        self.lines.log(&Record::builder().metadata(metadata).args(format_args!("{text}")).build());
    }

    fn report_skipped(&self, all: bool) {
        let mut sampler = self.sampler.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = sampler.take_unreported(Instant::now(), all);
        drop(sampler);
        for Sample { level, target, text, skipped, .. } in skipped {
            let text = format!("{skipped} more like this, not logged: {text}");
            self.print(level, &target, &Escaped(&text));
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        app::is_malformed_request(metadata) || self.lines.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if app::is_malformed_request(record.metadata()) {
            MALFORMED_REQUESTS.fetch_add(1, Ordering::Relaxed);
        }
        if !self.lines.matches(record) {
            return;
        }
        let mut text = cut(redact(&record.args().to_string()));
        // Warnings of the command line are exempt: one place logs several, and no client can cause them.
        if record.level() <= Level::Info && !record.target().starts_with("bearerd::cli") {
            let mut sampler = self.sampler.lock().unwrap_or_else(PoisonError::into_inner);
            let admitted = sampler.admit(record, &text, Instant::now());
            drop(sampler);
            let Some(skipped) = admitted else { return };
            if let Some(peer) = app::peer() {
                text += &format!(" (from {peer})");
            }
            if skipped > 0 {
                text += &format!(" (and {skipped} like it that were not logged)");
            }
        }
        let (level, target) = (record.level(), record.target());
        match target {
            // Escaped already; a backtrace has many lines.
            PANIC => self.print(level, target, &text),
            _ => self.print(level, target, &Escaped(&text)),
        }
    }

    fn flush(&self) {
        self.lines.flush();
    }
}

/// Masks all texts that can be a token or a digest. Some lines of other crates quote what a client sent, and a
/// client may send its token in the wrong place.
fn redact(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    // Each piece ends with at most one character that no token contains.
    for piece in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if word.len() < SHORTEST_SECRET {
            redacted.push_str(piece);
        } else {
            redacted.push_str(&word[..4]);
            redacted.push_str("[redacted]");
            redacted.push_str(&piece[word.len()..]);
        }
    }
    redacted
}

/// Cuts a message off after [`LONGEST`] bytes.
fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The panic hook. A panic is a kind of line by its place, like others. The default hook would wait for
/// standard error.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let mut text = describe(panic);
    // It is captured only if RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        text += &format!("\n{backtrace}");
    }
    let mut record = Record::builder();
    record.level(Level::Error).target(PANIC).line(panic.location().map(|place| place.line()));
    log::logger().log(&record.args(format_args!("{text}")).build());
}

/// The thread, the place and the message of a panic, in one line.
fn describe(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let message = panic.to_string().replacen('\n', " ", 1);
    format!("thread {} {}", thread.name().unwrap_or("?"), Escaped(&message))
}

#[cfg(test)]
mod tests {
    use std::panic::{catch_unwind, set_hook, take_hook};

    use super::*;

    #[test]
    fn a_panic_is_one_line_with_its_thread_and_place() {
        let panics = Arc::new(Mutex::new(Vec::new()));
        let seen = panics.clone();
        let default = take_hook();
        // Another test may panic meanwhile.
        set_hook(Box::new(move |panic| seen.lock().unwrap().push(describe(panic))));
        let _ = catch_unwind(|| panic!("one\ntwo"));
        set_hook(default);
        let panics = panics.lock().unwrap();
        let panic = panics.iter().find(|panic| panic.ends_with(r" one\ntwo")).unwrap();
        assert!(panic.starts_with("thread cli::logger::tests::a_panic_is"), "{panic}");
        assert!(panic.contains(" panicked at src/cli/logger/mod.rs:"), "{panic}");
    }

    #[test]
    fn tokens_and_digests_are_redacted() {
        let token = "Vb0j11Ph6iF7ND8Wc8G0uAU5QYeTAxnSFqM2K8fx8f6b45a2";
        for (line, expected) in [
            (
                format!("illegal Content-Length: \"bd_{token}\""),
                "illegal Content-Length: \"bd_Vb0j[redacted]\"",
            ),
            (
                format!("/api/users/{token}é{}", &token[..31]),
                "/api/users/Vb0j[redacted]éVb0j11Ph6iF7ND8Wc8G0uAU5QYeTAxn",
            ),
            ("request 3fa9c0d1e2b4a596 failed".to_owned(), "request 3fa9c0d1e2b4a596 failed"),
        ] {
            assert_eq!(redact(&line), expected);
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let text = cut("é".repeat(LONGEST));
        assert_eq!(text.len(), LONGEST + '…'.len_utf8());
        assert_eq!(cut("short".to_owned()), "short");
    }
}
