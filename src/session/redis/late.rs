//! Writes that Redis carries out in time or not at all.
//! Floor 4.
//!
//! What still lay on a connection when that was given up can arrive long after its caller was told that
//! nobody knows, behind what was written and acknowledged since. So a write says until when it counts,
//! by Redis's clock: as long as anybody waits for its answer. After that its script does nothing, and
//! replies Redis's time, negative.
//!
//! Not so two scripts. A renewal is as good late: it says that the session was used, of one that is there
//! under the same secret. And a logout by the session's own secret is better late than never: who asked for
//! it wants that secret to open nothing, and once there is another one (a login, a rotation) it ends nothing.

use ::redis::{Cmd, Value};

use crate::redis::error::RedisError;
use crate::redis::handle::RedisHandle;
use crate::redis::script::Script;

/// How often a write is sent: once more where it came too late for Redis and its caller waits still. Redis's
/// clock was set forward then, or this process or Redis stood still, and the reply has put the estimate right.
pub(super) const TRIES: usize = 2;

/// Runs a script that refuses what is late: `command` is told Redis's time as this process knows it, where
/// the keys of `tag` are. One round trip, and two where Redis's clock ran away.
///
/// # Errors
/// As [`RedisHandle::run_built`]; and `Away`, nothing done, where it came too late twice.
pub(super) async fn in_time<T: AsRef<str>>(
    redis: &RedisHandle,
    script: &Script,
    tag: impl Fn() -> T,
    command: impl Fn(u64) -> Cmd,
) -> Result<Value, RedisError> {
    for _ in 0..TRIES {
        let command = command(redis.now_ms_at(&tag));
        let reply = redis.run_built(script, command).await?;
        match refused_at(&reply) {
            Some(now_ms) => redis.observe_time(&tag, now_ms),
            None => return Ok(reply),
        }
    }
    Err(too_late(redis, tag, script))
}

/// Until when a write counts that was asked for at this time of Redis's clock.
pub(super) fn not_after(redis: &RedisHandle, asked_ms: u64) -> u64 {
    let patience = redis.command_timeout().as_millis();
    asked_ms.saturating_add(u64::try_from(patience).unwrap_or(u64::MAX))
}

/// Redis's time, where it refused a write because that was late.
pub(super) fn refused_at(reply: &Value) -> Option<u64> {
    match reply {
        Value::Int(now) if *now < 0 => Some(now.unsigned_abs()),
        _ => None,
    }
}

/// Nothing was done. Operators are told as of what Redis itself refuses.
pub(super) fn too_late<T: AsRef<str>>(
    redis: &RedisHandle,
    tag: impl FnOnce() -> T,
    script: &Script,
) -> RedisError {
    let error = RedisError::away("the write reached Redis after its time, twice");
    redis.tell_refused(tag, script, &error);
    error
}
