//! For scripts that act in a holder's name on a key beside the lock.
//!
//! Floor 4.

use redis::Value;

use crate::lock::error::LockError;
use crate::lock::lease::Claim;
use crate::lock::lock_key::LockKey;
use crate::lock::redis::adapter::RedisLocks;
use crate::lock::redis::ask::token;
use crate::lock::redis::names::{LOCK, tag};
use crate::lock::redis::reply;
use crate::redis::script::Script;

impl RedisLocks {
    /// Runs a script whose keys are the claim's lock and the key of `kind` beside it, and whose
    /// first argument is the token under which Redis knows the holder. `None` where this process
    /// knows that the claim does not hold its key.
    pub(crate) async fn run_as_holder(
        &self,
        script: &Script,
        kind: &str,
        claim: &Claim,
        args: &[&[u8]],
    ) -> Result<Option<Value>, LockError> {
        let Some(owner) = self.shared.cohorts.token_of(claim) else {
            return Ok(None);
        };
        let [lock, beside] = self.beside(kind, &claim.key);
        let token = token(owner);
        let args = [&[&token[..]], args].concat();
        let reply = self.handle.run(script, &[&lock, &beside], &args).await;
        reply.map(Some).map_err(reply::failed)
    }

    /// The lock's value and that of the key of `kind` beside it, where they are strings.
    pub(crate) async fn read_beside(
        &self,
        kind: &str,
        key: &LockKey,
    ) -> Result<[Option<Vec<u8>>; 2], LockError> {
        let mut command = redis::cmd("MGET");
        command.arg(&self.beside(kind, key)[..]);
        let reply = self.handle.send(command).await.map_err(reply::failed)?;
        redis::from_redis_value(reply).map_err(LockError::refused)
    }

    fn beside(&self, kind: &str, key: &LockKey) -> [Vec<u8>; 2] {
        let tag = tag(key);
        [LOCK, kind].map(|kind| self.handle.keyspace().key(kind, &tag, ""))
    }
}
