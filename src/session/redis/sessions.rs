//! Sessions in Redis: one string each, read by GET, written by scripts.
//! Floor 4.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Value};

use crate::config::ConfigError;
use crate::redis::error::{RedisError, RedisErrorKind};
use crate::redis::handle::RedisHandle;
use crate::redis::replicas::Replicas;
use crate::redis::script::{Script, push_pieces, script};
use crate::session::commits::Commits;
use crate::session::error::StoreError;
use crate::session::id::SessionId;
use crate::session::record::SessionRecord;
#[cfg(feature = "cluster")]
use crate::session::redis::apart::{self, Deadline};
use crate::session::redis::create::create_command;
use crate::session::redis::late::{in_time, not_after};
use crate::session::redis::reply::{ABSENT, refused, store_error, surprise};
use crate::session::redis::save::{save_command, save_reply};
use crate::session::redis::scripts::{Scripts, TOGETHER};
use crate::session::redis::walk::{Walked, walk};
use crate::session::save::{NewSession, Save, SaveOutcome};
use crate::session::store::SessionStore;
use crate::session::token::VerifierHash;
use crate::session::user_session::{Revoke, UserSession};

static SAVE: Script = script!("save.lua");

/// Replies below are codes, others Redis's time.
const FIRST_TIME: i64 = 8;

/// Sessions in Redis, shared by all instances that use the same key prefix; cheap to clone.
///
/// A session is one string under `{prefix}:s1:{{id}}`, which Redis itself expires. Each operation is
/// one command: `load` a GET, the others a script of one key.
///
/// A save of what was read replaces it, if nobody wrote between: Redis compares a hundred bytes and
/// sets. Else the script merges, by splicing the bytes of the fields. That costs Redis as much CPU as
/// `cmsgpack` would up to 1 KB, and at 16 KB 0.6 of it; `benches/session_merge.rs` measures both.
///
/// The sessions of a user are listed in a sorted set under `{prefix}:u1:{{user}}`, the name
/// percent-encoded. The scripts that log a user in and out write it along. It expires with the last
/// session that was in it. Should Redis have evicted it, the renewals of the sessions enter them again;
/// better is a `maxmemory-policy` that evicts nothing.
///
/// A walk through a user's sessions goes by their deadlines, and passes over none that is there from its
/// beginning to its end, whoever logs in or out meanwhile. A login that comes later may be missed.
///
/// While Redis has no memory left (`OOM`) writes are refused, and sessions that are used are renewed all the
/// same, by one command more where it was a write.
///
/// A write that reaches Redis later than the command time-out after it was asked for does nothing, but for
/// a [logout](crate::session#what-comes-late): by Redis's clock as this process knows it, which can be a
/// time-out off. For whoever waits still, as where that clock was set forward, it is sent once more, and
/// fails with [`Unavailable`](crate::session::StoreErrorKind::Unavailable) where it is late again. Where the
/// clock was set back meanwhile, or that of the replica that follows is behind, as much more time passes
/// before a write is late.
///
/// In a [Cluster](crate::redis#redis-cluster) the list may be on another node than the session, and is
/// written by a command of its own, before the session.
///
/// A Redis user with restricted rights needs `EVAL`, `EVALSHA`, `TIME`, `GET`, `SET`, `GETRANGE`,
/// `SETRANGE`, `EXISTS`, `PEXPIRE` and `DEL` on these keys; with users also `ZADD`, `ZREM`,
/// `ZRANGE`, `ZREMRANGEBYSCORE` and `PEXPIREAT`.
#[derive(Debug, Clone)]
pub struct RedisSessions {
    handle: RedisHandle,
    replicas: Option<Arc<Replicas>>,
}

impl RedisHandle {
    /// Sessions over this connection.
    #[must_use]
    pub fn sessions(&self) -> RedisSessions {
        RedisSessions {
            handle: self.clone(),
            replicas: None,
        }
    }
}

impl RedisSessions {
    /// Has every write wait until `replicas` replicas have it, 1 or more, for `within` at most, from 1 ms
    /// to the command time-out: what is acknowledged is lost with the master only if they are lost
    /// too, or not chosen to follow it. What that promises is in the [module](crate::redis#durability).
    ///
    /// Where fewer acknowledge in time, the write is done on the master all the same, and the operation
    /// fails with [`OutcomeUnknown`](crate::session::StoreErrorKind::OutcomeUnknown): the answer is 503.
    /// So do not ask for replicas that are not there. Where it is known beforehand that nobody can wait
    /// (the second connection is away, or Redis has refused this user what is needed for it), nothing is
    /// written, and it fails with [`Unavailable`](crate::session::StoreErrorKind::Unavailable). The 503 after a rotation or a login carries the
    /// new cookie: the old one opens nothing any more.
    ///
    /// It costs a write one round trip and what the replicas take: where they do not answer, twice
    /// `within`, and once the command time-out more where Redis does not. A rotation that too few have
    /// is waited for once more. This process has a second connection, on which all who ask for as many
    /// replicas and as much time wait together; others wait for one another, so ask for the same
    /// everywhere. Reads and renewals wait for nobody. The Redis user needs `INFO`, `PUBLISH` and
    /// `WAIT`. In a Cluster all this is so for each node: a login waits for two, one after the other, first
    /// for that of the list of the user's sessions; and instead of `PUBLISH` the user needs `EVAL`, `SET`
    /// and `DEL` on `{prefix}:w1:*`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_handoff::redis::RedisHandle;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_handoff::ConfigError> {
    /// let redis = RedisHandle::connect("redis://127.0.0.1:6379")?;
    /// let sessions = redis.sessions().replicas(1, Duration::from_millis(200))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A number or a time out of range.
    pub fn replicas(self, replicas: u8, within: Duration) -> Result<Self, ConfigError> {
        let replicas = Replicas::new(&self.handle, replicas, within)?;
        Ok(Self {
            replicas: Some(Arc::new(replicas)),
            ..self
        })
    }

    /// Through which to write what [`lasts`](Self::lasts) is to wait for.
    fn writing(&self) -> Cow<'_, Self> {
        match &self.replicas {
            None => Cow::Borrowed(self),
            Some(replicas) => Cow::Owned(Self {
                handle: replicas.writer(),
                replicas: Some(Arc::clone(replicas)),
            }),
        }
    }

    /// Waits for the replicas of all that was written through this, where that was asked for.
    async fn lasts(&self) -> Result<(), StoreError> {
        match &self.replicas {
            None => Ok(()),
            Some(replicas) => replicas.have(&self.handle).await.map_err(store_error),
        }
    }

    /// A command on a session's key, begun with room for so many arguments of so many bytes.
    fn on_session(&self, script: &Script, id: &SessionId, args: usize, bytes: usize) -> Cmd {
        let mut text = [0; SessionId::TEXT];
        let key = self
            .handle
            .keyspace()
            .key_pieces("s1", id.text(&mut text), "");
        script.on_key(&key, args, bytes)
    }

    async fn run(&self, script: &Script, command: Cmd) -> Result<Value, StoreError> {
        (self.handle.run_built(script, command).await).map_err(store_error)
    }

    /// Runs a script that replies one number: done, absent, or Redis's time where it did something.
    async fn run_on_owned(
        &self,
        script: &Script,
        id: &SessionId,
        verifier: &VerifierHash,
    ) -> Result<bool, StoreError> {
        let mut command = self.on_session(script, id, 1, VerifierHash::BYTES);
        command.arg(verifier.as_bytes());
        match self.run(script, command).await? {
            Value::Int(0) => Ok(true),
            Value::Int(ABSENT) => Ok(false),
            Value::Int(code) if code < FIRST_TIME => Err(refused(code)),
            Value::Int(now) => {
                self.observe(id, now.unsigned_abs());
                Ok(true)
            }
            #[cfg(feature = "cluster")]
            told if self.handle.is_cluster() => {
                apart::told(&self.handle, id, &told).await;
                Ok(true)
            }
            _ => Err(surprise()),
        }
    }

    fn scripts(&self) -> &'static Scripts {
        #[cfg(feature = "cluster")]
        if self.handle.is_cluster() {
            return &apart::SCRIPTS;
        }
        &TOGETHER
    }

    async fn walk(&self, user: &str, which: Option<Revoke>) -> Result<Walked, StoreError> {
        #[cfg(feature = "cluster")]
        if self.handle.is_cluster() {
            return apart::walk(&self.handle, user, which).await;
        }
        walk(&self.handle, user, which).await
    }

    /// A reply about the session has just brought Redis's time.
    fn observe(&self, id: &SessionId, redis_ms: u64) {
        self.handle.observe_time(|| id.to_string(), redis_ms);
    }
}

impl SessionStore for RedisSessions {
    fn now_ms(&self) -> u64 {
        self.handle.now_ms()
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        let mut text = [0; SessionId::TEXT];
        let key = self
            .handle
            .keyspace()
            .key_pieces("s1", id.text(&mut text), "");
        let bytes = key.iter().map(|piece| piece.len()).sum::<usize>();
        let mut get = Cmd::with_capacity(2, "GET".len() + bytes);
        get.arg("GET");
        push_pieces(&mut get, key);
        match self.handle.send(get).await.map_err(store_error)? {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => SessionRecord::decode(bytes).map(Some),
            _ => Err(surprise()),
        }
    }

    async fn create(&self, id: &SessionId, new: &NewSession<'_>) -> Result<bool, StoreError> {
        let user = new.terms.user.as_deref().unwrap_or_default();
        let writing = self.writing();
        #[cfg(feature = "cluster")]
        let user = if self.handle.is_cluster() && !user.is_empty() {
            let deadline = Deadline::In(new.expiry.absolute_ms());
            apart::enter(&writing.handle, user, id, deadline).await?;
            writing.lasts().await?;
            ""
        } else {
            user
        };
        let script = &self.scripts().create;
        let command = |asked_ms| {
            let begin = |args, bytes| self.on_session(script, id, args, bytes);
            create_command(begin, new, user, not_after(&self.handle, asked_ms))
        };
        let created = in_time(&writing.handle, script, || id.to_string(), command).await;
        let created = created.map_err(store_error)?;
        writing.lasts().await?;
        match created {
            Value::Int(0) => Ok(false),
            Value::Int(now) if now >= FIRST_TIME => {
                self.observe(id, now.unsigned_abs());
                Ok(true)
            }
            _ => Err(surprise()),
        }
    }

    async fn save(&self, id: &SessionId, save: &Save<'_>) -> Result<SaveOutcome, StoreError> {
        let script = match save.terms.is_empty() {
            true => &SAVE,
            false => &self.scripts().save_and_list,
        };
        let writing = self.writing();
        #[cfg(feature = "cluster")]
        if self.handle.is_cluster() && apart::enter_for(&writing.handle, id, save).await? {
            // Whoever asks again finds the session written, and would not wait for the list again.
            writing.lasts().await?;
        }
        let tag = || id.to_string();
        let command = |asked_ms| {
            let begin = |args, bytes| self.on_session(script, id, args, bytes);
            save_command(begin, save, asked_ms, not_after(&self.handle, asked_ms))
        };
        let reply = in_time(&writing.handle, script, tag, command).await;
        let is_not_written = |error: &RedisError| {
            let has_nobody_to_wait_for = error.kind() == RedisErrorKind::Away;
            error.is_out_of_memory() || self.replicas.is_some() && has_nobody_to_wait_for
        };
        if reply.as_ref().is_err_and(is_not_written) {
            // The save would have renewed it, and whoever writes is at work.
            let _ = self.renew(id, &save.verifier).await;
        }
        let now_ms = self.handle.now_ms_at(tag);
        let (outcome, now) = save_reply(reply.map_err(store_error)?, save, now_ms)?;
        if matches!(outcome, SaveOutcome::Saved(_)) {
            writing.lasts().await?;
        }
        if let Some(now) = now {
            self.observe(id, now);
        }
        Ok(outcome)
    }

    async fn renew(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        self.run_on_owned(&self.scripts().renew, id, verifier).await
    }

    async fn destroy(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        let (writing, script) = (self.writing(), &self.scripts().destroy);
        let destroyed = writing.run_on_owned(script, id, verifier).await?;
        // Also where nothing is there: it may have been ended by a write that nobody acknowledged.
        writing.lasts().await?;
        Ok(destroyed)
    }

    async fn sessions_of(&self, user: &str) -> Result<Vec<UserSession>, StoreError> {
        self.walk(user, None).await.map(|walked| walked.found)
    }

    async fn revoke(&self, user: &str, which: Revoke) -> Result<u64, StoreError> {
        let writing = self.writing();
        let walked = writing.walk(user, Some(which)).await?;
        writing.lasts().await?;
        Ok(walked.ended)
    }

    fn commits(&self) -> Commits {
        Commits::clone(&self.handle.slot())
    }
}
