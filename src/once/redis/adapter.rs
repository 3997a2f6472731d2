//! The store in Redis.
//!
//! Floor 5.

use std::time::Duration;

use bytes::Bytes;

use crate::lock::error::LockError;
use crate::lock::lease::Claim;
use crate::lock::lock_key::LockKey;
use crate::lock::redis::adapter::RedisLocks;
use crate::once::redis::reply;
use crate::once::store::{Begun, Found, OnceStore};
use crate::redis::handle::RedisHandle;
use crate::redis::script::{Script, script};

static BEGIN: Script = script!("holder.lua", "begin.lua");
static FINISH: Script = script!("holder.lua", "finish.lua");

/// What the keys are called: `{prefix}:o1:{name}`, in the slot of the job's lock.
const KIND: &str = "o1";

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
        reply::found(self.locks.read_beside(KIND, key).await?)
    }

    async fn begin(&self, claim: &Claim, by: &str) -> Result<Begun, LockError> {
        let args = [by.as_bytes()];
        let reply = self.locks.run_as_holder(&BEGIN, KIND, claim, &args).await?;
        reply.map_or(Ok(Begun::Lost), reply::begun)
    }

    async fn finish(
        &self,
        claim: &Claim,
        result: Bytes,
        fresh: Duration,
    ) -> Result<bool, LockError> {
        let fresh = fresh.as_nanos().div_ceil(1_000_000).to_string();
        let args = [&*result, fresh.as_bytes()];
        let reply = self.locks.run_as_holder(&FINISH, KIND, claim, &args);
        let reply = reply.await?;
        reply.as_ref().map_or(Ok(false), reply::finished)
    }
}
