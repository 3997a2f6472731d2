//! That nothing is overlooked: what is not kept is not searched.

use std::path::{Path, PathBuf};

use crate::support::eventually::eventually;
use crate::support::redis_server::{RedisServer, free_port};

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => sources(&path, found),
            false => {
                let bytes = std::fs::read(&path).expect("readable");
                let text = String::from_utf8_lossy(&bytes).into_owned();
                found.push((path.display().to_string(), text));
            }
        }
    }
}

#[test]
fn the_answers_of_session_layers_are_kept() {
    let mut all = Vec::new();
    sources(
        &PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it"),
        &mut all,
    );
    all.retain(|(name, text)| text.contains("SessionLayer") && !name.contains("evidence"));
    assert!(all.len() > 10, "{}", all.len());
    for (name, text) in all {
        let past = text.matches(".oneshot(").count() + text.matches(".call(").count();
        // One calls a service by hand that never touches its session.
        let allowed = usize::from(name.ends_with("session/faces.rs"));
        assert_eq!(past, allowed, "{name}: use support::evidence::oneshot");
    }
}

#[tokio::test]
async fn a_server_leaves_behind_what_it_held_and_what_it_was_sent() {
    let name = format!("evidence-of-one-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let server = RedisServer::start_watched(free_port(), &[], Some(&folder));
    for command in [
        "SET secret-1 secret-2",
        "DEL secret-1",
        "RPUSH a secret-3",
        "HSET b secret-4 secret-5",
        "SADD c secret-6",
        "ZADD d 1 secret-7",
        "XADD e * secret-8 secret-9",
        "PUBLISH secret-10 secret-11",
        "GET secret-12",
    ] {
        let words: Vec<_> = command.split(' ').collect();
        server.command(&words);
    }
    server.command(&[
        "EVAL",
        "return redis.call('set', KEYS[1], ARGV[1])",
        "1",
        "f",
        "secret-13",
    ]);
    server.command(&["ECHO", "the-end"]);
    let read = || {
        let mut all = Vec::new();
        sources(&folder, &mut all);
        all
    };
    let holds = |all: &[(String, String)], extension: &str, word: &str| {
        let is_of = |name: &str| name.contains(extension);
        (all.iter()).any(|(name, text)| is_of(name) && text.contains(word))
    };
    eventually("it is written down", async || {
        holds(&read(), ".monitor", "the-end")
    })
    .await;
    server.signal("KILL");
    drop(server);
    let all = read();
    for number in 1..=13 {
        let word = format!("secret-{number}");
        let ends = ["\r", "\""].map(|end| format!("{word}{end}"));
        assert!(holds(&all, ".monitor", &ends[1]), "{word}");
        let is_written = !(10..=12).contains(&number);
        assert_eq!(holds(&all, ".aof", &ends[0]), is_written, "{word}");
    }
    std::fs::remove_dir_all(folder).expect("it is there");
}
