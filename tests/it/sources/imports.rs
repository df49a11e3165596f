/*!
Which files of the library use which, by the paths that begin with `crate::` and `super::`.
*/

use std::collections::{BTreeMap, BTreeSet};

use super::scan::Scanned;

/// The files that each file uses.
pub type Imports = BTreeMap<String, BTreeSet<String>>;

/// The folder of a file's child modules, with a slash.
pub fn folder(file: &str) -> String {
    match file.strip_suffix("/mod.rs").or(file.strip_suffix("/lib.rs")) {
        Some(folder) => format!("{folder}/"),
        None => format!("{}/", file.trim_end_matches(".rs")),
    }
}

/// Finds what each file uses.
pub fn imports(files: &BTreeMap<String, Scanned>) -> Imports {
    let module = |file: &String| {
        let folder = folder(file);
        let below = folder.trim_end_matches('/').strip_prefix("src").unwrap();
        below.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let modules: BTreeMap<Vec<String>, &String> =
        files.keys().map(|file| (module(file), file)).collect();
    let used = |file: &String, scanned: &Scanned| {
        let own: Vec<String> = module(file);
        let paths = paths(&scanned.code);
        let mut used: BTreeSet<String> =
            paths.iter().filter_map(|path| target(&modules, &own, path)).collect();
        used.remove(file);
        used
    };
    files.iter().map(|(file, scanned)| (file.clone(), used(file, scanned))).collect()
}

/// The file of the module that a path leads to: the longest part of it that is a module.
fn target(
    modules: &BTreeMap<Vec<String>, &String>,
    own: &[String],
    path: &[String],
) -> Option<String> {
    let mut full = own.to_vec();
    for name in path {
        match name.as_str() {
            "crate" => full.clear(),
            "super" => drop(full.pop()),
            "self" => {}
            _ => full.push(name.clone()),
        }
    }
    (1..=full.len()).rev().find_map(|n| modules.get(&full[..n])).map(|file| file.to_string())
}

/// All paths of a code that begin with `crate` or `super`, groups in braces taken apart.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            // Not the middle of another path or word, such as `super::super::`.
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                tree(&code[at..], &[], &mut all);
            }
        }
    }
    all
}

/// Reads a path or a group of paths; returns what follows.
fn tree<'a>(text: &'a str, prefix: &[String], all: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = prefix.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(mut group) = rest.strip_prefix('{') {
            loop {
                group = tree(group, &path, all).trim_start();
                // A new name (`as`) does not matter.
                let end = group.find([',', '}']).unwrap_or(group.len());
                let closed = group[end..].starts_with('}');
                group = group.get(end + 1..).unwrap_or_default();
                if closed || group.is_empty() {
                    return group;
                }
            }
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end > 0 {
            path.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(more) => rest = more,
            None => break,
        }
    }
    if path.len() > prefix.len() {
        all.push(path);
    }
    rest
}

/// Groups of files that lead to each other, sorted. A module and its own children may.
pub fn circles(imports: &Imports) -> BTreeSet<Vec<String>> {
    let nested = |a: &str, b: &str| {
        let is_child = |child: &str, parent: &str| {
            let below = folder(child);
            below.strip_prefix(&folder(parent)).is_some_and(|name| name.matches('/').count() == 1)
        };
        is_child(a, b) || is_child(b, a)
    };
    let reach = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            for used in imports.get(file).into_iter().flatten() {
                if !nested(file, used) && seen.insert(used) {
                    next.push(used);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        imports.keys().map(|file| (file, reach(file))).collect();
    let mut all = BTreeSet::new();
    for (file, far) in reached.iter().filter(|(file, far)| far.contains(*file)) {
        let back = |other: &&&String| reached.get(**other).is_some_and(|r| r.contains(*file));
        all.insert(far.iter().filter(back).map(|other| other.to_string()).collect());
    }
    all
}

#[test]
fn a_made_up_circle_is_found() {
    let files = [
        ("src/a/mod.rs", "mod b; pub use b::B; use super::c::C;"),
        ("src/a/b.rs", "use super::d::{self, D as E, deep::{F, G}}; fn f() { crate::c::h() }"),
        ("src/a/d.rs", "use crate::{a::b::B, c};"),
        ("src/c.rs", "#[cfg(test)] mod tests { use crate::a::b; }"),
    ];
    let of = |files: &[(&str, &str)]| {
        let scanned = files.iter().map(|(file, text)| (file.to_string(), Scanned::new(text)));
        imports(&scanned.collect())
    };
    let found = of(&files);
    let used = |file: &str| found[file].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(used("src/a/mod.rs"), ["src/c.rs"]);
    assert_eq!(used("src/a/b.rs"), ["src/a/d.rs", "src/c.rs"]);
    assert_eq!(used("src/a/d.rs"), ["src/a/b.rs", "src/c.rs"]);
    assert!(used("src/c.rs").is_empty());
    let circle = vec!["src/a/b.rs".to_owned(), "src/a/d.rs".to_owned()];
    assert_eq!(circles(&found), [circle].into());
    assert!(circles(&of(&files[..2])).is_empty());
}
