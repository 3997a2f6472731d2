//! The step after the suite: reads all that it left behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::answers::{Tally, check};
use super::secrets::{Search, digest, forms};
use crate::support::evidence::{ANSWERS, Answer, VARIABLE};

/// What a pattern stands for; the text is the token.
#[derive(Debug, Clone, Copy)]
enum Trace<'a> {
    /// Its secret, which nobody may find.
    Secret(&'a str),
    /// Its digest, which Redis has: whoever finds none searches in the wrong place.
    Digest(&'a str),
}

/// What there was to search.
#[derive(Debug, Default)]
struct Evidence {
    /// Those of testbeds, and those of test processes.
    logs: [usize; 2],
    /// The folders of their histories.
    servers: BTreeSet<PathBuf>,
    monitored: usize,
    bytes: usize,
    /// Tokens whose digest a server's history holds.
    stored: BTreeSet<String>,
    leaks: Vec<String>,
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the suite has left a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

fn answers(files: &[PathBuf]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(path).expect("text");
        let read = |line| serde_json::from_str::<Answer>(line).expect("an answer");
        answers.extend(text.lines().map(read));
    }
    answers
}

fn search(files: &[PathBuf], tally: &Tally) -> Evidence {
    let patterns = tally.tokens.keys().flat_map(|token| {
        let secrets = forms(token).into_iter();
        let secrets = secrets.map(move |form| (form, Trace::Secret(token)));
        secrets.chain([(digest(token), Trace::Digest(token))])
    });
    let search = Search::new(patterns);
    let mut evidence = Evidence::default();
    for path in files {
        let bytes = std::fs::read(path).expect("readable");
        let name = path.display().to_string();
        evidence.bytes += bytes.len();
        let mut folders = path.ancestors().skip(1);
        let history = folders.find(|path| path.extension().is_some_and(|end| end == "aof"));
        evidence.servers.extend(history.map(Path::to_owned));
        let is_log = name.ends_with(".log") && holds(&bytes, b" TRACE ");
        evidence.logs[usize::from(!name.contains("-testbed-"))] += usize::from(is_log);
        evidence.monitored += usize::from(name.ends_with(".monitor") && !bytes.is_empty());
        for (trace, at) in search.hits(&bytes) {
            match trace {
                Trace::Digest(token) if history.is_some() => {
                    evidence.stored.insert(token.to_owned());
                }
                Trace::Digest(_) => {}
                Trace::Secret(token) => {
                    let test = &tally.tokens[token];
                    let around =
                        bytes[at.saturating_sub(160)..bytes.len().min(at + 60)].escape_ascii();
                    let leak = format!("{name}:{at}: the secret of a session of {test}: {around}");
                    evidence.leaks.push(leak);
                }
            }
        }
    }
    evidence
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// Tokens that tests of a folder handed out.
fn handed_out(tally: &Tally, folder: &str) -> usize {
    let tests = tally.tokens.values();
    tests.filter(|test| test.starts_with(folder)).count()
}

/// About half of what the suite leaves: with less, something was not watched.
fn is_thin(tally: &Tally, evidence: &Evidence) -> bool {
    handed_out(tally, "session::") < 400
        || handed_out(tally, "e2e::") < 40
        || tally.cookies < tally.tokens.len()
        || tally.removals < 60
        || tally.mirrored * 4 < tally.removals * 3
        || evidence.logs[0] < 30
        || evidence.logs[1] < 1
        || evidence.servers.len() < 110
        || evidence.monitored * 10 < evidence.servers.len() * 9
        || evidence.stored.len() < 10_000
        || evidence.bytes < 30 << 20
}

#[test]
#[ignore = "scripts/test runs it after the suite, on what that has left behind"]
fn the_suite_let_no_secret_slip_and_set_no_bad_cookie() {
    let folder = std::env::var_os(VARIABLE);
    let folder = folder.unwrap_or_else(|| panic!("{VARIABLE} names no folder: scripts/test does"));
    let mut all = Vec::new();
    files(Path::new(&folder), &mut all);
    let is_answers = |path: &PathBuf| path.to_string_lossy().ends_with(ANSWERS);
    let (spoken, searched): (Vec<_>, Vec<_>) = all.into_iter().partition(is_answers);
    let tally = check(&answers(&spoken));
    let evidence = search(&searched, &tally);
    let summary = format!(
        "{} tokens, {} cookies, {} removals ({} compared with what they remove), {} beyond 400 \
         days; {:?} TRACE logs, {} Redis servers ({} monitored), {} tokens found there by digest, {} MiB",
        tally.tokens.len(),
        tally.cookies,
        tally.removals,
        tally.mirrored,
        tally.cut_short,
        evidence.logs,
        evidence.servers.len(),
        evidence.monitored,
        evidence.stored.len(),
        evidence.bytes >> 20,
    );
    println!("{summary}");
    let mut faults = tally.faults.clone();
    faults.extend(evidence.leaks.iter().cloned());
    let shown = faults
        .iter()
        .take(20)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    assert!(faults.is_empty(), "{} faults:\n{shown}", faults.len());
    assert!(
        !is_thin(&tally, &evidence),
        "too little was left behind: {summary}"
    );
}
