//! The store in Redis.
//!
//! Floor 5.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use crate::lock::error::LockError;
use crate::lock::lease::Claim;
use crate::lock::lock_key::LockKey;
use crate::lock::redis::adapter::RedisLocks;
use crate::once::store::{Begun, Found, OnceStore};
use crate::redis::handle::RedisHandle;
use crate::redis::script::{Script, script};

static BEGIN: Script = script!("holder.lua", "begin.lua");
static FINISH: Script = script!("holder.lua", "finish.lua");

/// What the keys are called: `{prefix}:o1:{name}`, in the slot of the job's lock.
const KIND: &str = "o1";
const DONE: &[u8] = b"1d";
const RUNNING: &[u8] = b"1r";

/// Runs once in the whole fleet, through Redis; made by
/// [`RedisHandle::once`](crate::redis::RedisHandle::once).
///
/// The results are strings under `{prefix}:o1:{name}`, where the name is that of the job's lock;
/// Redis's own expiry ends them. A run that leaves no result leaves a note of who ran it there,
/// for a day. Every script touches one slot of a Cluster.
#[derive(Debug, Clone)]
pub struct RedisOnce {
    locks: RedisLocks,
}

impl RedisHandle {
    /// Jobs that run once, kept in this Redis. Asks nobody; their locks are among those of
    /// [`locks`](Self::locks), so that a drain lets go of them too.
    #[must_use]
    pub fn once(&self) -> RedisOnce {
        RedisOnce {
            locks: self.locks(),
        }
    }
}

impl OnceStore for RedisOnce {
    type Locks = RedisLocks;

    fn locks(&self) -> RedisLocks {
        self.locks.clone()
    }

    async fn look(&self, key: &LockKey) -> Result<Found, LockError> {
        let [lock, kept] = self.locks.read_beside(KIND, key).await?;
        let Some(kept) = kept.map(Bytes::from) else {
            return Ok(Found::Nothing);
        };
        if kept.starts_with(DONE) {
            return Ok(Found::Done(kept.slice(DONE.len()..)));
        }
        let noted = kept.strip_prefix(RUNNING).ok_or_else(newer)?;
        let running = noted.split_at_checked(17).filter(|(token, _)| {
            // Also a note that somebody else left there, whose lock is nobody's any more.
            lock.is_some_and(|lock| lock.starts_with(token))
        });
        Ok(running.map_or(Found::Nothing, |(_, by)| {
            Found::Running(String::from_utf8_lossy(by).into_owned())
        }))
    }

    async fn begin(&self, claim: &Claim, by: &str) -> Result<Begun, LockError> {
        let args = [by.as_bytes()];
        match self.locks.run_as_holder(&BEGIN, KIND, claim, &args).await? {
            None | Some(Value::Int(0)) => Ok(Begun::Lost),
            Some(Value::Int(1)) => Ok(Begun::Begun),
            Some(Value::BulkString(kept)) if kept.starts_with(DONE) => {
                Ok(Begun::Done(Bytes::from(kept).slice(DONE.len()..)))
            }
            Some(Value::Int(-2)) => Err(newer()),
            Some(_) => Err(unreadable()),
        }
    }

    async fn finish(
        &self,
        claim: &Claim,
        result: Bytes,
        fresh: Duration,
    ) -> Result<bool, LockError> {
        let fresh = fresh.as_nanos().div_ceil(1_000_000).to_string();
        let args = [&*result, fresh.as_bytes()];
        match self
            .locks
            .run_as_holder(&FINISH, KIND, claim, &args)
            .await?
        {
            None | Some(Value::Int(0)) => Ok(false),
            Some(Value::Int(1)) => Ok(true),
            Some(Value::Int(-2)) => Err(newer()),
            Some(_) => Err(unreadable()),
        }
    }
}

fn newer() -> LockError {
    LockError::refused("what is kept of the job is in a format of a newer version")
}

fn unreadable() -> LockError {
    LockError::refused("Redis gave an answer that no script of a job gives")
}
