//! What the scripts answer.
//!
//! Floor 4.

use redis::Value;
use tokio::time::{Duration, Instant};

use crate::lock::backend::Released;
use crate::lock::error::LockError;
use crate::lock::lease::{Fence, Lease};
use crate::redis::error::{RedisError, RedisErrorKind};

/// When a script ran, on both clocks: Redis read its own at `redis_ms`, not before `sent`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ran {
    pub(super) sent: Instant,
    pub(super) redis_ms: u64,
}

/// What `acquire.lua` answers.
pub(super) enum Answer {
    Granted {
        lease: Lease,
        others: bool,
    },
    /// And, where asked for, in line.
    Busy {
        ran: Ran,
        left: Duration,
    },
    QueueFull,
}

/// Redis's clock, and the answer; none where the packet came too late, which changed nothing.
pub(super) fn acquired(
    reply: Value,
    sent: Instant,
    lease: Duration,
) -> Result<(u64, Option<Answer>), LockError> {
    let [what, now, detail] = match reply {
        // The usual grant: a fence that is Redis's time.
        Value::Int(now_us) => [1, now_us / 1_000, now_us],
        reply => ints(reply).ok_or_else(unreadable)?,
    };
    let redis_ms = u64::try_from(now).map_err(|_| unreadable())?;
    let answer = match what {
        1 | 3 => Answer::Granted {
            lease: Lease::confirmed(fence(detail)?, sent, lease),
            others: what == 3,
        },
        0 => Answer::Busy {
            ran: Ran { sent, redis_ms },
            // Without a deadline it is no lock of ours, and may last for ever.
            left: u64::try_from(detail).map_or(lease, Duration::from_millis),
        },
        2 => Answer::QueueFull,
        -1 => return Ok((redis_ms, None)),
        -2 => {
            return Err(newer());
        }
        _ => return Err(unreadable()),
    };
    Ok((redis_ms, Some(answer)))
}

/// The renewed lease, and whether others wait; none where it is lost.
pub(super) fn renewed(
    reply: &Value,
    sent: Instant,
    lease: Duration,
) -> Result<Option<(Lease, bool)>, LockError> {
    match reply {
        Value::Int(0) => Ok(None),
        Value::Int(number) => {
            let fence = Fence::new(number.unsigned_abs());
            Ok(Some((Lease::confirmed(fence, sent, lease), *number < 0)))
        }
        _ => Err(unreadable()),
    }
}

/// What `release.lua` answers.
pub(super) enum Answered {
    Released(Released),
    /// It was in line, and is not any more.
    LeftTheLine,
    NothingThere,
    InLineAgain(Ran),
    GrantedAgain(Lease),
}

impl Answered {
    pub(super) fn released(self) -> Released {
        match self {
            Self::Released(released) => released,
            Self::LeftTheLine | Self::NothingThere => Released::NotHeld,
            Self::InLineAgain(_) | Self::GrantedAgain(_) => Released::HandedOver,
        }
    }
}

pub(super) fn released(
    reply: Value,
    sent: Instant,
    lease: Duration,
) -> Result<Answered, LockError> {
    Ok(match reply {
        Value::Int(0) => Answered::NothingThere,
        Value::Int(1) => Answered::Released(Released::Freed),
        Value::Int(2) => Answered::Released(Released::HandedOver),
        Value::Int(3) => Answered::LeftTheLine,
        reply => match ints(reply) {
            Some([2, now, _]) => Answered::InLineAgain(Ran {
                sent,
                redis_ms: u64::try_from(now).map_err(|_| unreadable())?,
            }),
            Some([1, _, number]) => {
                Answered::GrantedAgain(Lease::confirmed(fence(number)?, sent, lease))
            }
            _ => return Err(unreadable()),
        },
    })
}

pub(super) fn failed(error: RedisError) -> LockError {
    match error.kind() {
        RedisErrorKind::Away => LockError::not_sent(error),
        RedisErrorKind::Refused if error.code().is_some_and(passes) || is_on_its_way(&error) => {
            LockError::refused_for_now(error)
        }
        RedisErrorKind::Refused => LockError::refused(error),
        _ => LockError::unavailable(error),
    }
}

/// Whether an error reply speaks of the server's state and not of what it was asked.
fn passes(code: &str) -> bool {
    matches!(
        code,
        "BUSY" | "CLUSTERDOWN" | "MISCONF" | "NOREPLICAS" | "OOM" | "READONLY" | "TRYAGAIN"
    )
}

/// A script looked for a key that is not there, in a slot of a Cluster that is on its way to another node:
/// once it has arrived, the same script finds its way.
fn is_on_its_way(error: &RedisError) -> bool {
    let text = "Script attempted to access a non local key in a cluster node";
    error.code() == Some("ERR") && error.to_string().contains(text)
}

fn ints(reply: Value) -> Option<[i64; 3]> {
    let Value::Array(items) = reply else {
        return None;
    };
    match items[..] {
        [Value::Int(a), Value::Int(b), Value::Int(c)] => Some([a, b, c]),
        _ => None,
    }
}

fn fence(number: i64) -> Result<Fence, LockError> {
    u64::try_from(number)
        .map(Fence::new)
        .map_err(|_| unreadable())
}

pub(super) fn newer() -> LockError {
    LockError::refused("the lock is held in a format of a newer version")
}

pub(super) fn unreadable() -> LockError {
    LockError::refused("Redis gave an answer that no lock script gives")
}
