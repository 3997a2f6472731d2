//! The house plan: a file imports only from floors below its own, or without a cycle beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The folders that hold a layer: what one of them holds is nothing to the others.
const LAYER_FOLDERS: [&str; 4] = ["session", "lock", "in_flight", "drain_gate"];

struct File {
    floor: u8,
    imports: BTreeSet<String>,
}

/// `session::store::redis` of `src/session/store/redis.rs`.
fn module_of(path: &Path, src: &Path) -> String {
    let relative = path
        .strip_prefix(src)
        .expect("below src")
        .with_extension("");
    let parts: Vec<_> = relative
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    parts.join("::")
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("src is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every path behind `use`, with its braces spread out: `use crate::{a, b::{c, d}}` is three.
fn spread(tree: &str, prefix: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let head = format!("{prefix}{}", &tree[..open]);
        let inner = tree[open + 1..].strip_suffix('}').expect("braces match");
        let (mut depth, mut start) = (0, 0);
        for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    if !inner[start..at].trim().is_empty() {
                        spread(&inner[start..at], &head, found);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
    } else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        found.push(format!("{prefix}{}", path.trim()));
    }
}

/// The file's `use` paths from the crate's root on, and paths written out in its code.
fn imports(text: &str, module: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n")
        .collect();
    let mut found = Vec::new();
    for statement in code.split_inclusive(';') {
        // What stands before is the end of an item: attributes, docs, a closing brace.
        let Some(at) = statement.rfind("use ") else {
            continue;
        };
        let line = statement[..at].rsplit('\n').next().unwrap_or("").trim();
        if line.is_empty() || line == "pub" || line.starts_with("pub(") {
            let tree = statement[at + 4..].trim_end_matches(';').replace('\n', " ");
            spread(&tree, "", &mut found);
        }
    }
    // Paths outside of `use`: `crate::random::bytes()`.
    for piece in code.replace("$crate::", "").split("crate::").skip(1) {
        let path: String = piece
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':')
            .collect();
        if !path.is_empty() {
            found.push(format!("crate::{path}"));
        }
    }
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let grandparent = parent.rsplit_once("::").map_or("", |(parent, _)| parent);
    found
        .into_iter()
        .filter_map(|path| {
            let (base, rest) = if let Some(rest) = path.strip_prefix("crate::") {
                ("", rest)
            } else if let Some(rest) = path.strip_prefix("super::super::") {
                (grandparent, rest)
            } else if let Some(rest) = path.strip_prefix("super::") {
                (parent, rest)
            } else {
                return None;
            };
            Some(if base.is_empty() {
                rest.to_owned()
            } else {
                format!("{base}::{rest}")
            })
        })
        .collect()
}

fn read() -> (BTreeMap<String, File>, Vec<String>) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    rust_files(&src, &mut paths);
    let mut texts = BTreeMap::new();
    for path in paths {
        if path
            .file_name()
            .is_some_and(|name| name == "mod.rs" || name == "lib.rs")
        {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a readable file");
        texts.insert(module_of(&path, &src), text);
    }
    let mut complaints = Vec::new();
    let mut files = BTreeMap::new();
    for (module, text) in &texts {
        let floor = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .find_map(|line| {
                line.strip_prefix("//! Floor ")?
                    .strip_suffix('.')?
                    .parse()
                    .ok()
            });
        let Some(floor) = floor else {
            complaints.push(format!(
                "{module}: its module docs name no floor (`//! Floor N.`)"
            ));
            continue;
        };
        let mut targets = BTreeSet::new();
        for path in imports(text, module) {
            // The longest module that the path names.
            let mut target = path.as_str();
            while !texts.contains_key(target) {
                match target.rsplit_once("::") {
                    Some((shorter, _)) => target = shorter,
                    None => break,
                }
            }
            if texts.contains_key(target) {
                if target != module {
                    targets.insert(target.to_owned());
                }
            } else if !["BoxError", "ConfigError"].contains(&path.as_str()) {
                complaints.push(format!(
                    "{module}: imports {path} through a folder; name the file that defines it"
                ));
            }
        }
        files.insert(
            module.clone(),
            File {
                floor,
                imports: targets,
            },
        );
    }
    (files, complaints)
}

fn folder(module: &str) -> &str {
    module.split_once("::").map_or("", |(folder, _)| folder)
}

fn reaches(
    files: &BTreeMap<String, File>,
    from: &str,
    to: &str,
    seen: &mut BTreeSet<String>,
) -> bool {
    files.get(from).is_some_and(|file| {
        file.imports
            .iter()
            .any(|next| next == to || (seen.insert(next.clone()) && reaches(files, next, to, seen)))
    })
}

#[test]
fn imports_run_one_way_down_the_floors() {
    let (files, mut complaints) = read();
    assert!(files.len() > 20, "only {} files read", files.len());
    for (module, file) in &files {
        for target in &file.imports {
            let Some(below) = files.get(target) else {
                continue;
            };
            let beside = below.floor == file.floor && folder(target) == folder(module);
            if below.floor > file.floor || (below.floor == file.floor && !beside) {
                complaints.push(format!(
                    "{module} (floor {}) imports {target} (floor {})",
                    file.floor, below.floor
                ));
            }
            if beside && reaches(&files, target, module, &mut BTreeSet::new()) {
                complaints.push(format!("{module} and {target} import each other"));
            }
            let layers = (folder(module), folder(target));
            if layers.0 != layers.1
                && file.floor < 7
                && LAYER_FOLDERS.contains(&layers.0)
                && LAYER_FOLDERS.contains(&layers.1)
            {
                complaints.push(format!(
                    "{module} imports {target}: layers do not know each other"
                ));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn a_file_holds_one_idea() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    rust_files(&src, &mut paths);
    let long: Vec<_> = paths
        .iter()
        .map(|path| {
            (
                std::fs::read_to_string(path)
                    .expect("a readable file")
                    .lines()
                    .count(),
                path,
            )
        })
        .filter(|(lines, _)| *lines > 400)
        .collect();
    assert!(long.is_empty(), "files of more than 400 lines: {long:?}");
}

#[test]
fn the_import_reader_sees_every_form() {
    let text = "use crate::a::b;\npub use super::{c::D, e as f};\nfn x() { crate::g::h() }\n// use crate::no;\n";
    let found = imports(text, "session::store::redis");
    for expected in ["a::b", "session::store::c::D", "session::store::e", "g::h"] {
        assert!(
            found.iter().any(|path| path == expected),
            "{expected} not in {found:?}"
        );
    }
    assert!(!found.iter().any(|path| path.contains("no")), "{found:?}");
}
