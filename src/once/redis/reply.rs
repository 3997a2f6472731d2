//! What is kept of a job, and what its scripts answer.
//!
//! Floor 4.

use bytes::Bytes;
use redis::Value;

use crate::lock::error::LockError;
use crate::once::store::{Begun, Found};

const DONE: &[u8] = b"1d";
const RUNNING: &[u8] = b"1r";
/// Bytes of the token under which a lock is held.
const TOKEN: usize = 17;

/// What the job's lock and what lies beside it say.
pub(super) fn found([lock, kept]: [Option<Vec<u8>>; 2]) -> Result<Found, LockError> {
    let Some(kept) = kept.map(Bytes::from) else {
        return Ok(Found::Nothing);
    };
    if kept.starts_with(DONE) {
        return Ok(Found::Done(kept.slice(DONE.len()..)));
    }
    let noted = kept.strip_prefix(RUNNING).ok_or_else(newer)?;
    let running = noted.split_at_checked(TOKEN).filter(|(token, _)| {
        // Also a note that somebody else left there, whose lock is nobody's any more.
        lock.is_some_and(|lock| lock.starts_with(token))
    });
    Ok(running.map_or(Found::Nothing, |(_, by)| {
        Found::Running(String::from_utf8_lossy(by).into_owned())
    }))
}

/// What `begin.lua` answers.
pub(super) fn begun(reply: Value) -> Result<Begun, LockError> {
    match reply {
        Value::Int(0) => Ok(Begun::Lost),
        Value::Int(1) => Ok(Begun::Begun),
        Value::BulkString(kept) if kept.starts_with(DONE) => {
            Ok(Begun::Done(Bytes::from(kept).slice(DONE.len()..)))
        }
        Value::Int(-2) => Err(newer()),
        _ => Err(unreadable()),
    }
}

/// What `finish.lua` answers.
pub(super) fn finished(reply: &Value) -> Result<bool, LockError> {
    match reply {
        Value::Int(0) => Ok(false),
        Value::Int(1) => Ok(true),
        Value::Int(-2) => Err(newer()),
        _ => Err(unreadable()),
    }
}

fn newer() -> LockError {
    LockError::refused("what is kept of the job is in a format of a newer version")
}

fn unreadable() -> LockError {
    LockError::refused("Redis gave an answer that no script of a job gives")
}
