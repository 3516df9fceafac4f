//! README.md, CHANGELOG.md and docs: their links resolve, and the tables of settings, requests, error
//! codes and metrics are complete.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use actix_web::App;
use actix_web::test::{TestRequest, call_and_read_body, init_service};
use bearerd::config::SETTINGS;
use bearerd::{Bearerd, Config};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages
        .chain(["README.md", "CHANGELOG.md", "SECURITY.md"].map(|page| root().join(page)))
        .collect()
}

/// A page without its code blocks.
fn prose(text: &str) -> String {
    text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

/// The anchors that GitHub generates for the headings of a page.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_resolves_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = prose(&fs::read_to_string(&page).unwrap());
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => page.clone(),
                path if path.contains("://") => continue,
                path => page.parent().unwrap().join(path),
            };
            let resolves = fs::read_to_string(target).is_ok_and(|text| {
                anchor.is_empty() || anchors(&prose(&text)).iter().any(|known| known == anchor)
            });
            if !resolves {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_setting_is_listed_with_its_names_and_its_default() {
    let page = read("docs/settings.md");
    for setting in SETTINGS {
        let flag = setting.key.replace('_', "-");
        let row = format!("| `{}` | `{}` | `--{flag}` | ", setting.key, setting.variable());
        let rest = page.split_once(&row).unwrap_or_else(|| panic!("no row {row}")).1;
        let default = rest.split(" |").next().unwrap();
        match setting.default {
            "" => assert!(!default.contains('`'), "{row}"),
            text => assert_eq!(default, format!("`{text}`"), "{row}"),
        }
    }
}

#[actix_web::test]
async fn every_request_error_code_and_metric_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("b.sqlite");
    let bearerd = Bearerd::open(&Config { database, ..Config::default() }).unwrap();
    let service = init_service(App::new().configure(bearerd.routes())).await;
    let get = async |path: &str| {
        let request = TestRequest::get().uri(path).to_request();
        call_and_read_body(&service, request).await
    };
    let description: Value = serde_json::from_slice(&get("/api/openapi.json").await).unwrap();
    let http = read("docs/http.md");
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let request = match path.as_str() {
                "/api/verify" => "`/api/verify`".to_owned(),
                path => format!("`{} {path}`", method.to_uppercase()),
            };
            assert!(http.contains(&request), "docs/http.md lacks {request}");
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let examples = answer["content"]["application/json"]["examples"].as_object();
                for code in examples.into_iter().flat_map(|examples| examples.keys()) {
                    let row = format!("| {status} | `{code}` |");
                    assert!(http.contains(&row), "docs/http.md lacks {row}");
                }
            }
        }
    }
    let metrics = read("docs/metrics.md");
    for line in String::from_utf8_lossy(&get("/metrics").await).lines() {
        if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let row = format!("| `{name}` | {kind} |");
            assert!(metrics.contains(&row), "docs/metrics.md lacks {row}");
        }
    }
    bearerd.close().await;
}

#[test]
fn the_figures_in_the_readme_are_in_the_benchmarks() {
    let (readme, benchmarks) = (read("README.md"), read("docs/benchmarks.md"));
    let figures = readme.split_once("| what | measured |").unwrap().1;
    for row in figures.lines().take_while(|line| !line.starts_with('#')) {
        assert!(benchmarks.lines().any(|line| line == row), "docs/benchmarks.md lacks {row}");
    }
}
