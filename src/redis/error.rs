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
        let of_the_key = ["WRONGTYPE", "MOVED", "ASK", "TRYAGAIN"];
        self.kind != RedisErrorKind::Refused
            || !self.code().is_some_and(|code| of_the_key.contains(&code))
    }

    /// Whether it says that the server is not well, whatever it is asked.
    pub(crate) fn is_of_the_server(&self) -> bool {
        let codes = ["BUSY", "MISCONF", "NOREPLICAS", "OOM"];
        self.code().is_some_and(|code| codes.contains(&code))
    }

    /// Whether it is refused because it could take memory that Redis does not have.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.code() == Some("OOM")
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

/// The first word, or what stands behind `ERR` where a script was refused a command.
fn code_of(reply: &redis::ServerError) -> &str {
    match reply.code() {
        "ERR" => reply.details().and_then(hidden).unwrap_or("ERR"),
        code => code,
    }
}

/// Redis 6.2 says `Error running script (…): @user_script:1: -READONLY You can't write …`; and in no
/// version has a right that lacks a code of its own in a script.
fn hidden(text: &str) -> Option<&str> {
    if text.contains(NO_RIGHT) || text.starts_with("ACL failure in script") {
        return Some("NOPERM");
    }
    let mut parts = text.strip_prefix("Error running script")?.split(": ");
    parts.find_map(|part| {
        let word = part.split(' ').next()?.trim_start_matches('-');
        let is_code = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        is_code.then_some(word)
    })
}

/// Up to 7.0, which do not say what for.
const NO_RIGHT: &str = "The user executing the script can't";

pub(crate) fn describe(reply: &redis::ServerError) -> String {
    let code = reply.code();
    let detail = reply.details().unwrap_or_default();
    let detail = without_arguments(detail);
    if detail.contains(NO_RIGHT) {
        // Which command or key it was is told only there.
        format!("Redis refused the command: {code} {detail} (ACL LOG names what lacks)")
    } else if detail.is_empty() {
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
