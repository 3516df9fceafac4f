//! The walls of `src/`: which module may use which. A module that reaches past them fails here.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each place, and what it must not name.
const WALLS: &[(&str, &[&str])] = &[
    ("src/main.rs", &["crate::", "diesel", "actix"]),
    ("src/cli", &["diesel", "actix", "crate::store", "crate::http", "crate::actors"]),
    (
        "src/config",
        &[
            "diesel",
            "actix",
            "crate::store",
            "crate::actors",
            "crate::auth",
            "crate::http",
            "crate::app",
            "crate::cli",
        ],
    ),
    (
        "src/domain",
        &[
            "diesel",
            "actix",
            "tokio",
            "SystemTime::now",
            "Instant::now",
            "std::fs",
            "std::io",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "ToSocketAddrs",
            "SysRng",
            "rand::random",
            "rand::rng(",
            "crate::",
        ],
    ),
    (
        "src/store",
        &["actix", "crate::auth", "crate::actors", "crate::http", "crate::app", "crate::cli"],
    ),
    (
        "src/actors",
        &["actix_web", "diesel", "crate::auth", "crate::http", "crate::app", "crate::cli"],
    ),
    ("src/auth", &["actix", "diesel", "crate::http", "crate::app", "crate::cli", "crate::config"]),
    ("src/http", &["diesel", "crate::store", "crate::actors", "crate::app", "crate::cli"]),
    ("src/metrics.rs", &["diesel", "actix", "crate::"]),
    ("src/app", &["diesel", "crate::cli"]),
];

fn rust_files(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let entries =
        fs::read_dir(place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
    entries.flat_map(|entry| rust_files(&entry.unwrap().path())).collect()
}

/// The code of a file, without its comments and its tests.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().enumerate();
    lines
        .take_while(|(_, line)| !line.starts_with("mod tests {"))
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("").to_owned()))
        .collect()
}

#[test]
fn no_module_reaches_past_its_walls() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut breaches = Vec::new();
    for (place, forbidden) in WALLS {
        for file in rust_files(&root.join(place)) {
            if file.ends_with("tests.rs") {
                continue;
            }
            for (number, line) in code(&file) {
                for name in forbidden.iter().chain(&["crate::{"]) {
                    if line.contains(name) {
                        let file = file.strip_prefix(root).unwrap().display();
                        breaches.push(format!("{file}:{number}: {name}"));
                    }
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn every_file_stands_in_a_place_that_has_walls() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in rust_files(&root.join("src")) {
        let walled = WALLS.iter().any(|(place, _)| file.starts_with(root.join(place)));
        assert!(walled || file.ends_with("src/lib.rs"), "{}", file.display());
    }
}
