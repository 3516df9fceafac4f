//! The commands in README.md print the output that it shows. They run unchanged, one after the other, in
//! one shell and a new folder.
//!
//! In the output on the page, `…` matches any text within a line, or any lines if it is alone on a line.
//! Columns may be wider or narrower. The differences from the page are:
//!
//! - A server gets a free port instead of the port on the page, which is replaced in later commands.
//! - `bd_…` in a command is replaced by the token printed last, as a reader pastes it.
//! - If the page shows `Password:`, the command gets a terminal, and a password is typed.
//! - The commands in [`NOT_RUN`] are not run.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]
#![cfg(unix)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// The beginnings of commands that are not run, and the reasons.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo run --release -- serve --demo", "it builds; tests/browser and tests/cli start a demo"),
    ("tests/run", "it runs this"),
    ("cargo install --path .", "it builds, and changes its user's home"),
];

/// The programs that the commands need, each with arguments with which it succeeds.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("bash", &["--version"]),
    ("curl", &["--version"]),
    ("openssl", &["version"]),
    ("script", &["-E", "never", "-qec", "true", "/dev/null"]),
];

/// The password to type at each prompt. The page logs in with it.
const PASSWORD: &str = "correct horse";

/// How long a command may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shell prints this after each command, before the exit code.
const END: &str = "\n-- the command ended with ";

/// A command of the page, and its output on the page.
struct Step {
    command: String,
    shown: Vec<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in page.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```").unwrap();
        assert!(block.starts_with("$ "), "a block begins with a command: {block}");
        let mut lines = block.lines();
        while let Some(line) = lines.next() {
            match line.strip_prefix("$ ") {
                Some(command) => {
                    let mut command = command.to_owned();
                    while command.ends_with('\\') {
                        command = format!("{command}\n{}", lines.next().unwrap());
                    }
                    steps.push(Step { command, shown: Vec::new() });
                }
                None => steps.last_mut().unwrap().shown.push(line.to_owned()),
            }
        }
    }
    steps
}

/// Whether the printed lines match the shown ones.
fn lines_match(shown: &[String], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == "…" => {
            (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..]))
        }
        Some((line, rest)) => printed.split_first().is_some_and(|(first, others)| {
            line_matches(&words(line), &words(first)) && lines_match(rest, others)
        }),
    }
}

fn line_matches(shown: &str, printed: &str) -> bool {
    let Some((start, rest)) = shown.split_once('…') else { return shown == printed };
    printed.strip_prefix(start).is_some_and(|printed| {
        let mut ends = printed.char_indices().map(|(at, _)| at).chain([printed.len()]);
        ends.any(|at| line_matches(rest, &printed[at..]))
    })
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first complete token in a text.
fn token_in(text: &str) -> Option<&str> {
    let tokens = text.match_indices("bd_").filter_map(|(at, _)| text.get(at..at + 51));
    tokens.into_iter().find(|token| token[3..].bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Changes a command to start its server on a free port.
fn on_a_free_port(command: &str) -> String {
    match command.split_once("--listen ") {
        None => command.replace("bearerd serve", "bearerd serve --listen 127.0.0.1:0"),
        Some((start, rest)) => {
            let (address, end) = rest.split_once(' ').unwrap();
            assert!(address.starts_with("127.0.0.1:"), "tests stay on loopback: {command}");
            format!("{start}--listen 127.0.0.1:0 {end}")
        }
    }
}

/// A shell in a new folder, in which `bearerd` is the program under test.
struct Shell {
    bash: Child,
    input: ChildStdin,
    output: mpsc::Receiver<Vec<u8>>,
    /// The ports on the page and the ports of the servers, each after a colon.
    ports: Vec<(String, String)>,
    /// The token printed last.
    token: Option<String>,
    folder: TempDir,
}

impl Shell {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (programs, work) = (folder.path().join("programs"), folder.path().join("work"));
        fs::create_dir(&programs).unwrap();
        fs::create_dir(&work).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bearerd"), programs.join("bearerd"))
            .unwrap();
        let path = std::env::var("PATH").unwrap();
        // No settings, proxies or curlrc from outside. The process group includes the servers.
        let mut command = Command::new("bash");
        command.env_clear().env("PATH", format!("{}:{path}", programs.display()));
        command.current_dir(work).process_group(0);
        let mut bash = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = bash.stdout.take().unwrap();
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut buffer) {
                let _ = sender.send(buffer[..read].to_vec());
            }
        });
        let mut input = bash.stdin.take().unwrap();
        // If the test is interrupted, the shell's input ends, and it stops the servers.
        writeln!(input, "trap 'kill $servers 2> /dev/null' EXIT").unwrap();
        Self { bash, input, output, ports: Vec::new(), token: None, folder }
    }

    /// Runs a step, and fails if its output differs from the page.
    fn follow(&mut self, step: Step) {
        let Step { mut command, shown } = step;
        if let Some(token) = &self.token {
            command = command.replace("bd_…", token);
        }
        let serves = command.trim_end().ends_with('&');
        let command = match serves {
            true => self.in_the_background(&on_a_free_port(&command)),
            false if shown.iter().any(|line| line == "Password:") => on_a_terminal(&command),
            false => format!("{{ {}\n}} 2>&1 < /dev/null", self.with_ports(&command)),
        };
        let (printed, code) = self.run(&command);
        let printed: Vec<_> = printed.lines().collect();
        if serves && let ([shown], [printed]) = (shown.as_slice(), printed.as_slice()) {
            let port = |line: &str| line[line.rfind(':').unwrap()..].to_owned();
            self.ports.push((port(shown), port(printed)));
        }
        let shown: Vec<_> = shown.iter().map(|line| self.with_ports(line)).collect();
        assert!(
            code == "0" && lines_match(&shown, &printed),
            "{command}\nended with {code} and printed:\n{printed:#?}\nREADME.md shows:\n{shown:#?}"
        );
        self.token = token_in(&printed.join("\n")).map(str::to_owned).or(self.token.take());
    }

    fn with_ports(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (page, free)| text.replace(page, free))
    }

    /// Changes a command to start a server in the background and wait for its first line.
    fn in_the_background(&self, command: &str) -> String {
        let announcement = self.folder.path().join(format!("announcement-{}", self.ports.len()));
        let (announcement, log) = (announcement.display(), self.folder.path().join("log"));
        format!(
            "{{ {command}\n}} > {announcement} 2>> {}; servers=\"$servers $!\"; \
             until [ -s {announcement} ] || ! kill -0 $!; do sleep 0.02; done; cat {announcement}",
            log.display()
        )
    }

    /// Runs a command, and types a password at each prompt. Returns the output and the exit code.
    fn run(&mut self, command: &str) -> (String, String) {
        writeln!(self.input, "{command}; printf '\\n{}%s.\\n' $?", END.trim_start()).unwrap();
        let (mut printed, mut typed) = (Vec::new(), 0);
        loop {
            let text = String::from_utf8_lossy(&printed).into_owned();
            if let Some((text, end)) = text.split_once(END)
                && let Some((code, _)) = end.split_once('.')
            {
                return (text.to_owned(), code.to_owned());
            }
            let prompts = text.matches("Password: ").count() + text.matches("Again: ").count();
            for _ in typed..prompts {
                writeln!(self.input, "{PASSWORD}").unwrap();
            }
            typed = prompts;
            match self.output.recv_timeout(PATIENCE) {
                Ok(more) => printed.extend(more),
                Err(error) => panic!("{command}\n{error}; it printed:\n{text}"),
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = format!("-{}", self.bash.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.bash.wait();
    }
}

/// Changes a command to run in a terminal without echo, which reads from the shell's input.
fn on_a_terminal(command: &str) -> String {
    format!("script -qef -E never -c '{}' /dev/null", command.replace('\'', r"'\''"))
}

#[test]
fn every_command_of_the_readme_does_what_it_shows() {
    let works = |(program, arguments): &(&str, &[&str])| {
        let output = Command::new(program).args(*arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if let Some((program, _)) = PROGRAMS.iter().find(|program| !works(program)) {
        // tests/run installs it.
        eprintln!("README.md is not tested: {program} is missing, or too old");
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let steps = steps(&fs::read_to_string(page).unwrap());
    for (line, _) in NOT_RUN {
        let there = steps.iter().any(|step| step.command.starts_with(line));
        assert!(there, "README.md has no command that begins with {line:?}: take it off NOT_RUN");
    }
    let mut shell = Shell::start();
    for step in steps {
        if !NOT_RUN.iter().any(|(line, _)| step.command.starts_with(line)) {
            shell.follow(step);
        }
    }
    assert!(!shell.ports.is_empty(), "README.md starts no server");
    let end = "for server in $servers; do kill $server; wait $server || echo it failed; done";
    assert_eq!(shell.run(end), (String::new(), "0".to_owned()), "the servers end well");
}
