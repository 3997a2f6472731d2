//! How keys are named: the application's prefix, what the key is for with its format, a hash tag.
//!
//! Floor 1.

use crate::config::ConfigError;

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

    /// A keyspace for a prefix that an application chose.
    ///
    /// A brace would move the hash tag, whitespace would make keys unreadable in every tool.
    pub(crate) fn checked(prefix: &str) -> Result<Self, ConfigError> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}');
        if (1..=64).contains(&prefix.len()) && prefix.bytes().all(allowed) {
            Ok(Self::new(prefix))
        } else {
            Err(ConfigError::new(
                "prefix",
                prefix,
                "1 to 64 printable ASCII characters without braces and spaces",
            ))
        }
    }

    /// The application's prefix.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of `tag`, which is hashed alone, so that keys of one tag share a Cluster slot.
    ///
    /// `kind` names the purpose and the format: `s1`, `l1`. `tag` must hold no brace.
    pub(crate) fn key(&self, kind: &str, tag: &str, suffix: &str) -> Vec<u8> {
        self.key_pieces(kind, tag, suffix).concat()
    }

    /// What [`key`](Self::key) is put together from.
    pub(crate) fn key_pieces<'a>(
        &'a self,
        kind: &'a str,
        tag: &'a str,
        suffix: &'a str,
    ) -> [&'a [u8]; 7] {
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
    }

    /// The name of a pub/sub channel, which belongs to no slot: `{prefix}:{kind}:{name}`.
    pub(crate) fn channel(&self, kind: &str, name: &str) -> String {
        [&*self.prefix, ":", kind, ":", name].concat()
    }
}
