//! What can go wrong between this process and Redis.

use std::fmt;

/// An error of the connection to Redis, or of Redis itself.
#[derive(Debug, Clone)]
pub struct RedisError {
    kind: RedisErrorKind,
    message: String,
}

/// What the caller can do about a [`RedisError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisErrorKind {
    /// Redis is away: the command was not sent. Safe to send again.
    Away,
    /// The command was sent and no reply came: it may have been carried out.
    Unknown,
    /// Redis refused the command.
    Refused,
}

impl RedisError {
    pub(crate) fn new(kind: RedisErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> RedisErrorKind {
        self.kind
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RedisError {}
