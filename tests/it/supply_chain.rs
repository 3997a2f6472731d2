//! What everything that is built here stands on: licences and sources as `deny.toml` allows them.
//!
//! The part of `cargo deny` that needs no further tool, for the crates of this platform.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Every package that cargo would build for the tests of this platform.
fn packages() -> Vec<Value> {
    let version = Command::new("rustc").arg("-vV").output();
    let version = String::from_utf8(version.expect("rustc runs").stdout).expect("text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--all-features"])
        .args(["--offline", "--filter-platform", host.expect("a host")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let Value::Array(packages) = metadata["packages"].take() else {
        panic!("cargo's metadata lists packages");
    };
    packages
}

/// What `deny.toml` allows everybody, and what it allows a single crate.
struct Allowed {
    all: Vec<String>,
    exceptions: Vec<(String, String)>,
}

impl Allowed {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
        let text = std::fs::read_to_string(path).expect("deny.toml");
        let line = |start: &str| {
            let line = text.lines().find(|line| line.starts_with(start));
            let line = line.unwrap_or_else(|| panic!("deny.toml has no '{start}'"));
            // What stands in quotes, in front of a comment.
            let line = line.split('#').next().unwrap_or_default();
            let quoted = line.split('"').skip(1).step_by(2);
            quoted.map(str::to_owned).collect::<Vec<_>>()
        };
        let pairs = line("exceptions");
        assert!(pairs.len().is_multiple_of(2), "a crate and a licence each");
        let pairs = pairs.chunks(2);
        Self {
            all: line("allow"),
            exceptions: pairs
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
        }
    }

    /// Whether one of the choices that a licence expression leaves is allowed as a whole.
    fn allows(&self, name: &str, expression: &str) -> bool {
        let words = expression
            .replace('(', " ( ")
            .replace(')', " ) ")
            .replace('/', " OR ")
            .replace(" WITH ", "+");
        let mut words = words.split_whitespace().peekable();
        let is_allowed = |license: &str| {
            let is_exception = |(of, allowed): &(String, String)| of == name && allowed == license;
            self.all.iter().any(|allowed| allowed == license)
                || self.exceptions.iter().any(is_exception)
        };
        either(&mut words, &is_allowed) && words.next().is_none()
    }
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, is_allowed: &impl Fn(&str) -> bool) -> bool {
    let mut holds = both(words, is_allowed);
    while words.next_if_eq(&"OR").is_some() {
        holds |= both(words, is_allowed);
    }
    holds
}

fn both(words: &mut Words<'_>, is_allowed: &impl Fn(&str) -> bool) -> bool {
    let mut holds = one(words, is_allowed);
    while words.next_if_eq(&"AND").is_some() {
        holds &= one(words, is_allowed);
    }
    holds
}

fn one(words: &mut Words<'_>, is_allowed: &impl Fn(&str) -> bool) -> bool {
    match words.next() {
        Some("(") => either(words, is_allowed) & words.next_if_eq(&")").is_some(),
        Some(license) => is_allowed(license),
        None => false,
    }
}

#[test]
fn every_licence_is_allowed_and_every_crate_comes_from_one_registry() {
    let (packages, allowed) = (packages(), Allowed::read());
    assert!(packages.len() > 100, "only {} crates", packages.len());
    let mut complaints = Vec::new();
    let mut registries: Vec<&str> = Vec::new();
    for package in &packages {
        let name = package["name"].as_str().expect("a name");
        match package["license"].as_str() {
            Some(license) if allowed.allows(name, license) => {}
            license => complaints.push(format!("{name}: {license:?}")),
        }
        match package["source"].as_str() {
            None if name == env!("CARGO_PKG_NAME") => {}
            Some(source) if source.starts_with("registry+") => registries.push(source),
            source => complaints.push(format!("{name}: from {source:?}")),
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    registries.dedup();
    assert_eq!(registries.len(), 1, "{registries:?}");
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = Allowed {
        all: vec!["MIT".to_owned(), "ISC".to_owned()],
        exceptions: vec![("x".to_owned(), "BSL-1.0".to_owned())],
    };
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("ISC AND MIT", true),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("(GPL-3.0 OR MIT) AND GPL-3.0", false),
        ("MIT AND ISC OR GPL-3.0", true),
        ("GPL-3.0 OR MIT AND GPL-3.0", false),
        ("MIT WITH a-clause", false),
        ("BSL-1.0", true),
        ("(MIT", false),
        ("MIT ISC", false),
        ("", false),
    ] {
        assert_eq!(allowed.allows("x", expression), expected, "{expression}");
    }
    assert!(!allowed.allows("y", "BSL-1.0"));
}
