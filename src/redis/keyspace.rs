//! How keys are named: the application's prefix, what the key is for with its format, a hash tag.

/// Builds every key and channel: `{prefix}:{kind}:{{tag}}{suffix}`.
#[derive(Debug, Clone)]
pub(crate) struct Keyspace {
    prefix: Box<str>,
}

impl Keyspace {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// The key of `tag`, which is hashed alone, so that keys of one tag share a Cluster slot.
    ///
    /// `kind` names the purpose and the format: `s1`, `l1`. `tag` must hold no brace.
    pub(crate) fn key(&self, kind: &str, tag: &str, suffix: &str) -> Vec<u8> {
        debug_assert!(
            !tag.contains(['{', '}']),
            "a brace in a tag breaks the hash tag"
        );
        [
            self.prefix.as_bytes(),
            b":",
            kind.as_bytes(),
            b":{",
            tag.as_bytes(),
            b"}",
            suffix.as_bytes(),
        ]
        .concat()
    }
}
