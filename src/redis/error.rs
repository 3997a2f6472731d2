//! What can go wrong between this process and Redis.
//!
//! Floor 1.

use std::borrow::Cow;
use std::fmt;

use super::away::AwayCause;

/// An error of the connection to Redis, or of Redis itself.
///
/// Its text names what happened and the error code that Redis sent, never an argument of the
/// command: keys may be logged, values and passwords may not.
///
/// ```
/// use tower_handoff::redis::{RedisError, RedisErrorKind};
///
/// fn may_send_again(error: &RedisError) -> bool {
///     error.kind() == RedisErrorKind::Away
/// }
/// ```
#[derive(Debug, Clone)]
pub struct RedisError {
    kind: RedisErrorKind,
    code: Option<Box<str>>,
    message: Cow<'static, str>,
    source: Option<redis::RedisError>,
}

/// What the caller can do about a [`RedisError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisErrorKind {
    /// The command was not carried out: Redis is away, still loading its data, a replica, or too
    /// much is queued already. Safe to send again.
    Away,
    /// The command was sent and no reply came: it may have been carried out.
    Unknown,
    /// Redis refused the command; [`RedisError::code`] says why.
    Refused,
}

impl RedisError {
    pub(crate) fn new(kind: RedisErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            code: None,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn away(message: &'static str) -> Self {
        Self::new(RedisErrorKind::Away, message)
    }

    pub(crate) fn unknown(message: &'static str, source: Option<redis::RedisError>) -> Self {
        Self {
            source,
            ..Self::new(RedisErrorKind::Unknown, message)
        }
    }

    /// The error reply of one command.
    pub(crate) fn refused(reply: &redis::ServerError) -> Self {
        let code = code_of(reply);
        let kind = match AwayCause::of_reply(code) {
            Some(_) => RedisErrorKind::Away,
            None => RedisErrorKind::Refused,
        };
        Self {
            code: Some(code.into()),
            ..Self::new(kind, describe(reply))
        }
    }

    /// Whether it says something of the server or of this user, and not of what one caller asked: then
    /// the connection tells operators, once for all.
    pub(crate) fn concerns_all(&self) -> bool {
        let code = self.code.as_deref();
        self.kind != RedisErrorKind::Refused
            || code.is_some_and(|code| {
                matches!(
                    code,
                    "BUSY" | "MISCONF" | "MOVED" | "NOPERM" | "NOREPLICAS" | "OOM"
                )
            })
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> RedisErrorKind {
        self.kind
    }

    /// The first word of Redis's error reply where there was one: `WRONGTYPE`, `NOPERM`,
    /// `READONLY`, `OOM`, `LOADING`, `ERR`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

/// The first word, or what Redis 6.2 hides in it: there, a script's refused write ends in
/// `ERR Error running script (…): @user_script: 1: -READONLY You can't write …`.
fn code_of(reply: &redis::ServerError) -> &str {
    match reply.code() {
        "ERR"
            if reply
                .details()
                .is_some_and(|text| text.contains(": -READONLY ")) =>
        {
            "READONLY"
        }
        code => code,
    }
}

pub(crate) fn describe(reply: &redis::ServerError) -> String {
    let code = reply.code();
    let detail = reply.details().unwrap_or_default();
    let detail = without_arguments(detail);
    if detail.is_empty() {
        format!("Redis refused the command: {code}")
    } else {
        format!("Redis refused the command: {code} {detail}")
    }
}

/// Redis repeats the arguments of a command that it does not know: that part stays out.
pub(crate) fn without_arguments(text: &str) -> &str {
    text.split(", with args").next().unwrap_or_default()
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RedisError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
