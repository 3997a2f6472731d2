//! How a lock's keys are called in Redis.
//!
//! Floor 4.

use std::borrow::Cow;

use crate::lock::escape::push_escaped;
use crate::lock::lock_key::LockKey;
use crate::redis::keyspace::Keyspace;

/// What a lock's key is for, and its format.
pub(super) const LOCK: &str = "l1";

/// What the keys of one lock have in common, and are hashed by.
pub(super) fn tag(key: &LockKey) -> Cow<'_, str> {
    let key = key.as_str();
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}' | b'%');
    if key.bytes().all(plain) {
        return Cow::Borrowed(key);
    }
    let mut tag = String::with_capacity(key.len() + 8);
    push_escaped(&mut tag, key.as_bytes(), plain);
    Cow::Owned(tag)
}

/// `{prefix}:l1:{name}` is the lock and, when it is free, its fence's floor; with `:q` its line.
/// Both are in one slot: the name is the hash tag, and no brace of the key's gets into it.
pub(super) struct Names {
    pub(super) lock: Vec<u8>,
    pub(super) line: Vec<u8>,
}

impl Names {
    pub(super) fn new(keyspace: &Keyspace, key: &LockKey) -> Self {
        let lock = keyspace.key(LOCK, &tag(key), "");
        let line = [&*lock, b":q"].concat();
        Self { lock, line }
    }

    pub(super) fn all(&self) -> [&[u8]; 2] {
        [&self.lock, &self.line]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_breaks_out_of_its_hash_tag_or_meets_another() {
        let keyspace = Keyspace::new("app");
        let keys = [
            "a", "A", "a}", "{a}", "a}:f", "a:f", "a%7D", "a%", "a b", "\0", "\u{e9}", "e\u{301}",
            "{", "}", "{}", "a\r\n",
        ];
        let mut seen = std::collections::HashSet::new();
        for key in keys {
            let names = Names::new(&keyspace, &LockKey::new(key).unwrap());
            for name in names.all() {
                let name = String::from_utf8(name.to_vec()).unwrap();
                assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
                assert_eq!(name.matches(['{', '}']).count(), 2, "{name}");
                assert!(seen.insert(name.clone()), "{name} is there twice");
            }
        }
    }
}
