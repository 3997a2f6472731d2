//! What a failed attempt to connect comes down to.
//!
//! Floor 1.

use redis::ErrorKind;

use super::away::AwayCause;
use super::error::{describe, without_arguments};

/// Why Redis is away, for programs and for people; without passwords.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) cause: AwayCause,
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn new(cause: AwayCause, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { cause, reason }
    }

    pub(crate) fn unreachable(reason: impl Into<String>) -> Self {
        Self::new(AwayCause::Unreachable, reason)
    }
}

/// An error reply to what every connection begins with.
impl From<&redis::ServerError> for Failure {
    fn from(reply: &redis::ServerError) -> Self {
        Self::new(AwayCause::at_start(reply.code()), describe(reply))
    }
}

/// What redis-rs says of a failed attempt. A server that does not know HELLO repeats what came with
/// it, the password: that part stays out.
impl From<&redis::RedisError> for Failure {
    fn from(error: &redis::RedisError) -> Self {
        if error.kind() == ErrorKind::RESP3NotSupported {
            return Self::new(AwayCause::Unsupported, "the server does not speak RESP3");
        }
        let text = error.to_string();
        let cause = match error.code() {
            Some(code) => AwayCause::at_start(code),
            // With TLS 1.3 a client certificate is refused after the handshake, in place of the
            // first answer; redis-rs keeps the error's type to itself.
            None if text.contains("received fatal alert") => AwayCause::Tls,
            None => AwayCause::Unreachable,
        };
        Self::new(cause, without_arguments(&text))
    }
}
