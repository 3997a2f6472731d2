//! Sessions in Redis: one string each, read by GET, written by scripts.
//! Floor 4.

use ::redis::Value;
use bytes::Bytes;

use crate::redis::handle::RedisHandle;
use crate::redis::script::{Script, script};
use crate::session::error::StoreError;
use crate::session::head::{flags_of, persistent_of};
use crate::session::id::SessionId;
use crate::session::record::SessionRecord;
use crate::session::redis::reply::{refused, store_error, surprise};
use crate::session::redis::walk::walk;
use crate::session::save::{NewSession, Plan, Save, SaveOutcome, Saved};
use crate::session::store::SessionStore;
use crate::session::token::VerifierHash;
use crate::session::user_session::{Revoke, UserSession};

static CREATE: Script = script!("index.lua", "create.lua");
static SAVE: Script = script!("save.lua");
/// For saves that may touch the list of a user: the others are spared its functions.
static SAVE_AND_LIST: Script = script!("index.lua", "save.lua");
static RENEW: Script = script!("index.lua", "renew.lua");
static DESTROY: Script = script!("index.lua", "destroy.lua");

/// Sessions in Redis, shared by all instances that use the same key prefix; cheap to clone.
///
/// A session is one string under `{prefix}:s1:{{id}}`, which Redis itself expires. Each operation is
/// one command: `load` a GET, the others a script of one key.
///
/// The sessions of a user are listed in a sorted set under `{prefix}:u1:{{user}}`, the name
/// percent-encoded. The scripts that log a user in and out write it along. It expires with the last
/// session that was in it. Should Redis have evicted it, the renewals of the sessions enter them again;
/// better is a `maxmemory-policy` that evicts nothing.
///
/// A Redis user with restricted rights needs `EVAL`, `EVALSHA`, `TIME`, `GET`, `SET`, `GETRANGE`,
/// `SETRANGE`, `EXISTS`, `PEXPIRE` and `DEL` on these keys; with users also `ZADD`, `ZREM`,
/// `ZRANGE`, `ZREMRANGEBYSCORE` and `PEXPIREAT`.
#[derive(Debug, Clone)]
pub struct RedisSessions(RedisHandle);

impl RedisHandle {
    /// Sessions over this connection.
    #[must_use]
    pub fn sessions(&self) -> RedisSessions {
        RedisSessions(self.clone())
    }
}

impl RedisSessions {
    fn key(&self, id: &SessionId) -> Vec<u8> {
        self.0.keyspace().key("s1", &id.to_string(), "")
    }

    async fn run(
        &self,
        script: &Script,
        id: &SessionId,
        arguments: &[&[u8]],
    ) -> Result<Value, StoreError> {
        let key = self.key(id);
        (self.0.run(script, &[&key], arguments).await).map_err(store_error)
    }

    /// Runs a script that replies one number: done or absent.
    async fn run_on_owned(
        &self,
        script: &Script,
        id: &SessionId,
        verifier: &VerifierHash,
    ) -> Result<bool, StoreError> {
        match self.run(script, id, &[verifier.as_bytes()]).await? {
            Value::Int(0) => Ok(true),
            Value::Int(ABSENT) => Ok(false),
            Value::Int(code) => Err(refused(code)),
            _ => Err(surprise()),
        }
    }
}

impl SessionStore for RedisSessions {
    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        let mut get = ::redis::cmd("GET");
        get.arg(self.key(id));
        match self.0.send(get).await.map_err(store_error)? {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => SessionRecord::decode(bytes).map(Some),
            _ => Err(surprise()),
        }
    }

    async fn create(&self, id: &SessionId, new: &NewSession<'_>) -> Result<bool, StoreError> {
        let idle = new.expiry.idle_ms().to_string();
        let absolute = new.expiry.absolute_ms().to_string();
        let flags = flags_of(new.terms.persistent.flatten()).to_string();
        let arguments: [&[u8]; 8] = [
            new.version.as_bytes(),
            new.verifier.as_bytes(),
            idle.as_bytes(),
            absolute.as_bytes(),
            flags.as_bytes(),
            new.terms.user.as_deref().unwrap_or_default().as_bytes(),
            new.terms.label.as_deref().unwrap_or_default().as_bytes(),
            new.fields,
        ];
        match self.run(&CREATE, id, &arguments).await? {
            Value::Int(created) => Ok(created == 1),
            _ => Err(surprise()),
        }
    }

    async fn save(&self, id: &SessionId, save: &Save<'_>) -> Result<SaveOutcome, StoreError> {
        let (plan, base, whole) = match &save.plan {
            Plan::Merge => ("M", None, &[][..]),
            Plan::ReplaceOrMerge { base, whole } => ("W", Some(base), *whole),
            Plan::ReplaceOrReport { base, whole } => ("C", Some(base), *whole),
            Plan::Add { .. } => ("A", None, &[][..]),
        };
        let (name, by) = match save.plan {
            Plan::Add { name, by } => (name, by.to_string()),
            _ => ("", String::new()),
        };
        let terms = save.terms;
        let (idle, absolute) = match &terms.expiry {
            Some(expiry) => (
                expiry.idle_ms().to_string(),
                expiry.absolute_ms().to_string(),
            ),
            None => (String::new(), String::new()),
        };
        let limit = save.limit.to_string();
        let (mut names, mut new) = (Vec::new(), Vec::new());
        save.changes.push_new(&mut new);
        for name in save.changes.names() {
            names.push(name.len() as u8);
            names.extend_from_slice(name.as_bytes());
        }
        let (user, label) = (said(terms.user.as_deref()), said(terms.label.as_deref()));
        let flags = (terms.persistent).map(|persistent| flags_of(persistent).to_string());
        let flags = flags.unwrap_or_default();
        let arguments: [&[u8]; 16] = [
            save.verifier.as_bytes(),
            save.version.as_bytes(),
            plan.as_bytes(),
            base.map_or(&[], |base| base.as_bytes()),
            whole,
            &names,
            &new,
            (save.rotate_to.as_ref()).map_or(&[], |hash| hash.as_bytes()),
            limit.as_bytes(),
            idle.as_bytes(),
            absolute.as_bytes(),
            name.as_bytes(),
            by.as_bytes(),
            user.as_bytes(),
            label.as_bytes(),
            flags.as_bytes(),
        ];
        let script = match terms.is_empty() {
            true => &SAVE,
            false => &SAVE_AND_LIST,
        };
        let Value::Array(reply) = self.run(script, id, &arguments).await? else {
            return Err(surprise());
        };
        if let Some(Value::Int(now)) = reply.get(4) {
            self.0.observe_time(now.unsigned_abs());
        }
        outcome(reply)
    }

    async fn renew(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        self.run_on_owned(&RENEW, id, verifier).await
    }

    async fn destroy(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        self.run_on_owned(&DESTROY, id, verifier).await
    }

    async fn sessions_of(&self, user: &str) -> Result<Vec<UserSession>, StoreError> {
        walk(&self.0, user, None).await.map(|walked| walked.found)
    }

    async fn revoke(&self, user: &str, which: Revoke) -> Result<u64, StoreError> {
        (walk(&self.0, user, Some(which)).await).map(|walked| walked.ended)
    }
}

/// Tells a text that is empty from none at all.
fn said(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!(":{text}"))
}

/// The scripts' word for a session that is not there.
const ABSENT: i64 = 2;

pub(super) fn outcome(reply: Vec<Value>) -> Result<SaveOutcome, StoreError> {
    let mut reply = reply.into_iter();
    let Some(Value::Int(code)) = reply.next() else {
        return Err(surprise());
    };
    Ok(match (code, reply.next(), reply.next()) {
        (0, Some(Value::Int(lifetime)), Some(Value::BulkString(sum))) => {
            let Some(Value::Int(flags)) = reply.next() else {
                return Err(surprise());
            };
            let sum = String::from_utf8_lossy(&sum).parse().ok();
            let persistent = persistent_of(flags as u8);
            SaveOutcome::Saved(Saved::new(lifetime.unsigned_abs(), sum, persistent))
        }
        (1, Some(Value::BulkString(record)), _) => {
            SaveOutcome::Conflict(SessionRecord::decode(Bytes::from(record))?)
        }
        (ABSENT, ..) => SaveOutcome::Absent,
        (3, ..) => SaveOutcome::Superseded,
        (4, ..) => SaveOutcome::TooLarge,
        (5, ..) => SaveOutcome::NotInteger,
        (code, ..) => return Err(refused(code)),
    })
}
