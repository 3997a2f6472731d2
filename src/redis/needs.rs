//! The commands that a server must know, and which of them it does not.
//!
//! Floor 3.

use redis::Value;

/// What runs scripts. Where Redis does not know a command it repeats what came with it, and of what
/// scripts are given much is no text: such a reply cannot be read, and would end the connection. So it
/// is found out here, and they are not sent.
pub(super) const SCRIPTS: [&str; 2] = ["EVALSHA", "EVAL"];

/// What the scripts call, for a script whose command is not known is refused without a word of which; and
/// what waits for a lock and looks for a job's result.
pub(super) const NEEDED: [&str; 23] = [
    "DEL",
    "EXISTS",
    "GET",
    "GETRANGE",
    "LINDEX",
    "LLEN",
    "LPOP",
    "LPOS",
    "LREM",
    "MGET",
    "PEXPIRE",
    "PEXPIREAT",
    "PTTL",
    "PUBLISH",
    "RPUSH",
    "SET",
    "SETRANGE",
    "SUBSCRIBE",
    "TIME",
    "ZADD",
    "ZRANGE",
    "ZREM",
    "ZREMRANGEBYSCORE",
];

/// A user without the right to ask is told only of `EVALSHA`, which was sent.
pub(super) fn unknown(commands: Value, evalsha: &Value) -> Vec<&'static str> {
    let told = match commands {
        Value::Array(told) if told.len() == SCRIPTS.len() + NEEDED.len() => told,
        _ if is_unknown(evalsha) => return vec![SCRIPTS[0]],
        _ => return Vec::new(),
    };
    let all = SCRIPTS.into_iter().chain(NEEDED).zip(told);
    all.filter(|(_, told)| *told == Value::Nil)
        .map(|(name, _)| name)
        .collect()
}

/// What operators are told of it.
pub(super) fn misses(unknown: &[&str]) -> Option<String> {
    (!unknown.is_empty()).then(|| {
        format!(
            "the server does not know {} (rename-command): what needs them fails, unless it is served all the same",
            unknown.join(", ")
        )
    })
}

fn is_unknown(reply: &Value) -> bool {
    let Value::ServerError(error) = reply else {
        return false;
    };
    error
        .details()
        .unwrap_or_default()
        .starts_with("unknown command")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn called(folder: &Path, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                called(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "lua") {
                let text = std::fs::read_to_string(&path).expect("a script");
                let calls = text
                    .split(['(', ' '])
                    .filter_map(|word| word.strip_prefix('\''));
                let words = calls
                    .filter_map(|rest| rest.split_once('\''))
                    .map(|(word, _)| word);
                let is_command = |word: &&str| {
                    word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase())
                };
                names.extend(words.filter(is_command).map(str::to_owned));
            }
        }
    }

    /// And the options that look like them.
    #[test]
    fn every_command_of_the_scripts_is_asked_for() {
        let mut names = Vec::new();
        called(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut names,
        );
        let options = ["BYSCORE", "KEEPTTL", "LIMIT", "PXAT", "WITHSCORES"];
        names.retain(|name| !options.contains(&name.as_str()));
        names.extend(["MGET", "SUBSCRIBE"].map(str::to_owned));
        names.sort();
        names.dedup();
        assert_eq!(names, NEEDED);
    }
}
