//! `tests/run` on a machine that lacks the programs it needs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::stderr;

/// Runs `tests/run` with a PATH that has only programs which it must not start. Also returns the names of
/// those that it started.
fn run(arguments: &[&str]) -> (Output, String) {
    let programs = TempDir::new().unwrap();
    let calls = programs.path().join("calls");
    for name in ["apt-get", "npm", "service", "systemctl"] {
        let program = programs.path().join(name);
        fs::write(&program, format!("#!/bin/sh\necho {name} >> {}", calls.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("/bin/bash");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run")).args(arguments);
    command.env("PATH", programs.path()).env("CHROMIUM", "/missing/browser");
    let output = command.output().unwrap();
    (output, fs::read_to_string(calls).unwrap_or_default())
}

#[test]
fn tests_run_lists_all_missing_programs_and_with_no_install_installs_nothing() {
    let (output, calls) = run(&["--no-install"]);
    let missing = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{missing}");
    for line in ["missing: cargo (see https://rustup.rs)", "missing: /missing/browser ("] {
        assert!(missing.contains(line), "{missing}");
    }
    assert!(!missing.contains("missing: npm"), "{missing}");
    assert_eq!(calls, "");
}

#[test]
fn tests_run_installs_nothing_if_a_missing_program_has_no_package() {
    let (output, calls) = run(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(calls, "");
}

#[test]
fn tests_run_prints_its_usage_and_starts_nothing() {
    let (output, calls) = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(b"usage: tests/run [--no-install]\n"));
    assert_eq!(calls, "");
}

#[test]
fn tests_run_refuses_an_unknown_argument_with_its_usage() {
    let (output, calls) = run(&["--no-install", "--quick"]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("unknown argument --quick\n\nusage: tests/run"), "{message}");
    assert_eq!(calls, "");
}
