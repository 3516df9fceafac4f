//! Rules for the source: which module may use which, no cycles of imports, and no long files.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Files and folders, and the names that must not occur in them.
const FORBIDDEN: &[(&str, &[&str])] = &[
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
    let files = entries.flat_map(|entry| rust_files(&entry.unwrap().path()));
    files.filter(|file| !is_test(file)).collect()
}

/// Tests may use modules that the code beside them may not.
fn is_test(file: &Path) -> bool {
    file.ends_with("tests.rs") || file.parent().is_some_and(|folder| folder.ends_with("tests"))
}

/// The lines of a file without comments and tests, each with its number.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().enumerate();
    lines
        .take_while(|(_, line)| !line.starts_with("mod tests {"))
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("").to_owned()))
        .collect()
}

#[test]
fn no_module_uses_a_forbidden_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut violations = Vec::new();
    for (place, forbidden) in FORBIDDEN {
        for file in rust_files(&root.join(place)) {
            for (number, line) in code(&file) {
                for name in forbidden.iter().chain(&["crate::{"]) {
                    if line.contains(name) {
                        let file = file.strip_prefix(root).unwrap().display();
                        violations.push(format!("{file}:{number}: {name}"));
                    }
                }
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn every_file_has_a_list_of_forbidden_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in rust_files(&root.join("src")) {
        let listed = FORBIDDEN.iter().any(|(place, _)| file.starts_with(root.join(place)));
        assert!(listed || file.ends_with("src/lib.rs"), "{}", file.display());
    }
}

/// The path of a module from the root of the crate: `["http", "guard"]`.
type Module = Vec<String>;

/// The files of `src`, each with its imports: whether they are re-exported, and their paths as written.
struct Imports(BTreeMap<Module, Vec<(bool, String)>>);

impl Imports {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files = rust_files(&root);
        let files =
            files.iter().map(|file| (module(file.strip_prefix(&root).unwrap()), imports(file)));
        Self(files.collect())
    }

    /// The file that defines an import of `module`, or none if another crate defines it.
    fn target(&self, module: &[String], path: &str) -> Option<Module> {
        let names: Vec<String> = path.split("::").map(str::to_owned).collect();
        let up = names.iter().take_while(|name| *name == "super").count();
        let absolute = match names[0].as_str() {
            "crate" => names[1..].to_vec(),
            "self" => [module, &names[1..]].concat(),
            _ if up > 0 => [&module[..module.len() - up], &names[up..]].concat(),
            _ => [module, &names].concat(),
        };
        let is_own = up > 0 || ["crate", "self"].contains(&names[0].as_str());
        if !is_own && !self.0.contains_key(&absolute[..=module.len()]) {
            return None;
        }
        let depth = (0..=absolute.len()).rev().find(|&n| self.0.contains_key(&absolute[..n]))?;
        let (file, rest) = absolute.split_at(depth);
        let name = rest.first().map(|name| format!("::{name}"));
        let imported = self.0[file]
            .iter()
            .find(|(_, path)| name.as_ref().is_some_and(|name| path.ends_with(name.as_str())));
        imported.and_then(|(_, path)| self.target(file, path)).or_else(|| Some(file.to_vec()))
    }

    /// The files that a file depends on. A `mod.rs` and the files below it belong together: their imports
    /// from it and its re-exports of them do not count.
    fn targets(&self, module: &Module) -> BTreeSet<Module> {
        let targets = self.0[module].iter().filter_map(|(is_public, path)| {
            let target = self.target(module, path)?;
            let is_own = module.starts_with(&target) || (*is_public && target.starts_with(module));
            (!is_own).then_some(target)
        });
        targets.collect()
    }

    /// Searches for a cycle of imports that continues from the modules of `path` to `next`.
    fn cycle(
        &self,
        path: &mut Vec<Module>,
        next: Module,
        seen: &mut BTreeSet<Module>,
    ) -> Option<Vec<Module>> {
        if let Some(start) = path.iter().position(|module| *module == next) {
            return Some(path[start..].to_vec());
        }
        if !seen.insert(next.clone()) {
            return None;
        }
        let targets = self.targets(&next);
        path.push(next);
        let cycle = targets.into_iter().find_map(|target| self.cycle(path, target, seen));
        path.pop();
        cycle
    }
}

/// The module of a file.
fn module(file: &Path) -> Module {
    let names = file.with_extension("");
    let mut names: Module = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.pop_if(|last| *last == "mod" || *last == "lib");
    names
}

/// The paths that a file imports, and whether it re-exports them.
fn imports(file: &Path) -> Vec<(bool, String)> {
    let mut imports = Vec::new();
    let mut statement = String::new();
    for (_, line) in code(file) {
        let line = line.trim();
        if statement.is_empty() {
            let before = line.split("use ").next().unwrap();
            let is_import = before.len() < line.len()
                && (before.is_empty() || before.starts_with("pub") && before.ends_with(' '));
            if !is_import {
                continue;
            }
        }
        statement.push_str(line);
        if let Some(whole) = statement.strip_suffix(';') {
            let (before, tree) = whole.split_once("use ").unwrap();
            imports.extend(paths(tree).into_iter().map(|path| (!before.is_empty(), path)));
            statement.clear();
        }
    }
    imports
}

/// The paths in a tree of imports: `a::{b, c::d}` has `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let Some((stem, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap();
        return vec![path.strip_suffix("::self").unwrap_or(path).to_owned()];
    };
    let branches = &rest[..rest.rfind('}').unwrap()];
    let mut depth = 0;
    let branches = branches.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let branches = branches.map(str::trim).filter(|branch| !branch.is_empty());
    branches.flat_map(|branch| paths(&format!("{stem}{branch}"))).collect()
}

#[test]
fn no_files_import_each_other_in_a_cycle() {
    let imports = Imports::read();
    let mut seen = BTreeSet::new();
    for module in imports.0.keys() {
        let cycle = imports.cycle(&mut Vec::new(), module.clone(), &mut seen);
        assert_eq!(cycle, None);
    }
}

#[test]
fn no_file_is_longer_than_350_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in rust_files(&root.join("src")) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 350, "{} has {lines} lines", file.display());
    }
}
