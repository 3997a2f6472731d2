//! Sessions and the lists of users' sessions on different nodes of a Cluster.
//! Floor 4.
//!
//! What one script does elsewhere takes a command for each node here: first the entry in the list and
//! then the session, so that no session without an entry comes to be. An entry without a session is
//! harmless at any time: whoever reads the list finds it dead. Nobody but who ended the session takes
//! it off, because it may be about to be saved; it goes with the next entry after its deadline.

use std::collections::HashSet;

use ::redis::{Cmd, Value};
use bytes::Bytes;

use crate::redis::error::RedisError;
use crate::redis::handle::RedisHandle;
use crate::redis::script::{Script, script};
use crate::session::error::StoreError;
use crate::session::id::SessionId;
use crate::session::record::SessionRecord;
use crate::session::redis::late::{TRIES, not_after, refused_at, too_late};
use crate::session::redis::reply::{ABSENT, refused, store_error, surprise};
use crate::session::redis::scripts::Scripts;
use crate::session::redis::walk::{CORRUPT, Pages, Walked, index};
use crate::session::save::{Plan, Save};
use crate::session::user_session::{Revoke, UserSession};

/// In place of those of one node.
pub(super) static SCRIPTS: Scripts = Scripts {
    create: script!("create.lua"),
    save_and_list: script!("apart.lua", "save.lua"),
    renew: script!("apart.lua", "renew.lua"),
    destroy: script!("apart.lua", "destroy.lua"),
};

static ENTER: Script = script!("put.lua", "enter.lua");
static THEIRS: Script = script!("theirs.lua");

/// Sessions that are looked at at once.
const PAGE: usize = 100;

/// A session's absolute deadline.
pub(super) enum Deadline {
    /// By Redis's clock, in ms.
    At(u64),
    /// In so many ms.
    In(u64),
}

/// Puts a session into its user's list.
pub(super) async fn enter(
    redis: &RedisHandle,
    user: &str,
    id: &SessionId,
    deadline: Deadline,
) -> Result<(), StoreError> {
    let (at, off) = match deadline {
        Deadline::At(ms) => (ms.to_string(), String::new()),
        Deadline::In(ms) => (String::new(), ms.to_string()),
    };
    let id = id.to_string();
    let args = [&id, &at, &off].map(|text| text.as_bytes());
    let list = index(redis, user);
    let entered = redis.run(&ENTER, &[&list], &args).await;
    entered.map(drop).map_err(store_error)
}

/// What a save does to the list, before it is sent: an entry under whoever is the user from now on.
///
/// Where the save does not say all of it, the session as it was read does, or else as it is now: one
/// round trip more, for whoever binds or prolongs without having looked. Returns whether there is one.
pub(super) async fn enter_for(
    redis: &RedisHandle,
    id: &SessionId,
    save: &Save<'_>,
) -> Result<bool, StoreError> {
    let deadline = (save.terms.expiry.as_ref()).map(|expiry| Deadline::In(expiry.absolute_ms()));
    let (user, deadline) = match (save.terms.user.as_deref(), deadline) {
        (Some(""), _) | (None, None) => return Ok(false),
        (Some(user), Some(deadline)) => {
            return enter(redis, user, id, deadline).await.map(|()| true);
        }
        rest => rest,
    };
    let stored;
    let record = match save.plan {
        Plan::ReplaceOrMerge(base) | Plan::ReplaceOrReport(base) => Some(base),
        Plan::Merge | Plan::Add { .. } => {
            stored = head(redis, id).await?;
            stored.as_ref()
        }
    };
    // The save itself says that there is none.
    let Some(record) = record else {
        return Ok(false);
    };
    match user.or(record.user()) {
        Some(user) => {
            let deadline = deadline.unwrap_or(Deadline::At(record.deadline_ms()));
            enter(redis, user, id, deadline).await.map(|()| true)
        }
        None => Ok(false),
    }
}

async fn head(redis: &RedisHandle, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
    let mut range = Cmd::new();
    range.arg("GETRANGE").arg(key(redis, id)).arg(0).arg(627);
    match redis.send(range).await.map_err(store_error)? {
        Value::BulkString(head) if head.is_empty() => Ok(None),
        Value::BulkString(head) => SessionRecord::decode_head(head).map(Some),
        _ => Err(surprise()),
    }
}

/// What a script of one session said of its user's list. What cannot be done does no harm: a dead
/// entry goes after its deadline, a missing one is made by the next renewal.
pub(super) async fn told(redis: &RedisHandle, id: &SessionId, reply: &Value) {
    match due(reply) {
        Some((user, Some(at))) => {
            let _ = enter(redis, user, id, Deadline::At(at)).await;
        }
        Some((user, None)) => {
            let _ = leave(redis, &index(redis, user), &[id.to_string().into_bytes()]).await;
        }
        None => {}
    }
}

/// Whose list it is, and until when the session is to be in it; none for one that leaves it.
pub(super) fn due(reply: &Value) -> Option<(&str, Option<u64>)> {
    fn text(value: &Value) -> Option<&str> {
        match value {
            Value::BulkString(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }
    match reply {
        Value::Array(entry) => match &entry[..] {
            [_, user, deadline] => Some((text(user)?, Some(text(deadline)?.parse().ok()?))),
            _ => None,
        },
        left => Some((text(left)?, None)),
    }
}

async fn leave(redis: &RedisHandle, list: &[u8], entries: &[Vec<u8>]) -> Result<(), StoreError> {
    let mut remove = ::redis::cmd("ZREM");
    remove.arg(list).arg(entries);
    redis.send(remove).await.map(drop).map_err(store_error)
}

/// Walks a user's sessions: a page of the list, and then the sessions in it, all at once.
pub(super) async fn walk(
    redis: &RedisHandle,
    user: &str,
    which: Option<Revoke>,
) -> Result<Walked, StoreError> {
    let list = index(redis, user);
    let mut walked = Walked::default();
    let (mut failed, mut unreadable) = (None, None);
    // As many as can be queued at once.
    let most = PAGE.min(redis.settings().queue_bound);
    let mut pages = Pages::of(most);
    let mut seen = HashSet::new();
    loop {
        let (entries, next) = match which {
            Some(Revoke::One(id)) => (vec![id.to_string().into_bytes()], None),
            _ => page(redis, &list, &pages).await?,
        };
        let (mut ids, mut gone) = (Vec::new(), Vec::new());
        for entry in entries {
            match std::str::from_utf8(&entry).map(str::parse) {
                Ok(Ok(id)) if seen.insert(id) => ids.push(id),
                Ok(Ok(_)) => {}
                // Whose it was is not known: they are told so, and once. No session is saved under it.
                _ => {
                    unreadable = Some(CORRUPT);
                    gone.push(entry);
                }
            }
        }
        let mut replies = Vec::with_capacity(ids.len());
        for ids in ids.chunks(most) {
            replies.extend(theirs(redis, user, ids, which).await?);
        }
        for (id, reply) in replies {
            match reply {
                Ok(Value::Int(1)) => {
                    walked.ended += 1;
                    gone.push(id.to_string().into_bytes());
                }
                // Dead, or not saved yet.
                Ok(Value::Int(ABSENT)) => {}
                Ok(Value::Int(code)) => unreadable = unreadable.or(Some(code)),
                Ok(Value::BulkString(head)) if which.is_none() => {
                    let record = SessionRecord::decode_head(Bytes::from(head))?;
                    walked.found.push(UserSession::new(id, &record));
                }
                Ok(Value::BulkString(_)) => {}
                Ok(_) => return Err(surprise()),
                // Those on other nodes are ended all the same.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if !gone.is_empty() {
            leave(redis, &list, &gone).await?;
        }
        match next {
            Some(next) => pages.go_on(next),
            None => break,
        }
    }
    // Whoever asks must not believe that this was all.
    match (failed, unreadable) {
        (Some(error), _) => Err(store_error(error)),
        (None, Some(code)) => Err(refused(code)),
        (None, None) => Ok(walked),
    }
}

/// The entries of a page, and the deadline to go on at.
async fn page(
    redis: &RedisHandle,
    list: &[u8],
    pages: &Pages,
) -> Result<(Vec<Vec<u8>>, Option<i64>), StoreError> {
    let mut range = ::redis::cmd("ZRANGE");
    range.arg(list).arg(pages.at).arg("+inf").arg("BYSCORE");
    range.arg("LIMIT").arg(0).arg(pages.size).arg("WITHSCORES");
    let entries = redis.send(range).await.map_err(store_error)?;
    listed(entries, pages.size)
}

pub(super) fn listed(reply: Value, size: usize) -> Result<(Vec<Vec<u8>>, Option<i64>), StoreError> {
    let entries: Vec<(Vec<u8>, f64)> = ::redis::from_redis_value(reply).map_err(|_| surprise())?;
    let last = entries.last().filter(|_| entries.len() == size);
    // Beyond all numbers it is the last one: cut off, not wrapped.
    let next = last.map(|(_, deadline)| *deadline as i64);
    Ok((entries.into_iter().map(|(entry, _)| entry).collect(), next))
}

/// Looks at each, and ends those that `which` picks.
async fn theirs(
    redis: &RedisHandle,
    user: &str,
    ids: &[SessionId],
    which: Option<Revoke>,
) -> Result<Vec<(SessionId, Result<Value, RedisError>)>, StoreError> {
    let mut answered = Vec::with_capacity(ids.len());
    let mut asking = ids.to_vec();
    for _ in 0..TRIES {
        let commands = asking.iter().map(|id| {
            let ends = which.is_some_and(|which| which.ends(id));
            let task = if ends { "E" } else { "L" };
            let last = not_after(redis, redis.now_ms_at(|| id.to_string())).to_string();
            THEIRS.by_digest(&[&key(redis, id)], &[user, task, &last].map(str::as_bytes))
        });
        let replies = redis.run_all(&THEIRS, commands).await;
        let mut late = Vec::new();
        for (id, reply) in asking.into_iter().zip(replies.map_err(store_error)?) {
            match reply.as_ref().ok().and_then(refused_at) {
                Some(now_ms) => {
                    redis.observe_time(|| id.to_string(), now_ms);
                    late.push(id);
                }
                None => answered.push((id, reply)),
            }
        }
        asking = late;
    }
    let late = |id: SessionId| (id, Err(too_late(redis, || id.to_string(), &THEIRS)));
    answered.extend(asking.into_iter().map(late));
    Ok(answered)
}

fn key(redis: &RedisHandle, id: &SessionId) -> Vec<u8> {
    redis.keyspace().key("s1", &id.to_string(), "")
}
