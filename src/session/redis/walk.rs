//! The lists of users' sessions in Redis, page by page.
//! Floor 4.
//!
//! The scripts touch a list and sessions at once, under keys of different hash tags, so that a login
//! and a walk are one round trip each: one Redis holds all keys. Nothing in the formats needs that;
//! `apart.rs` does without.

use std::collections::HashSet;

use ::redis::Value;

use crate::redis::handle::RedisHandle;
use crate::redis::script::{Script, script};
use crate::session::error::StoreError;
use crate::session::id::SessionId;
use crate::session::record::SessionRecord;
use crate::session::redis::late::{in_time, not_after};
use crate::session::redis::reply::{refused, store_error, surprise};
use crate::session::user_session::{Revoke, UserSession};

static USERS: Script = script!("users.lua");

/// Sessions that one run of the script looks at: less than two milliseconds of Redis's time.
const PAGE: usize = 500;

/// What a walk comes to.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) found: Vec<UserSession>,
    pub(super) ended: u64,
}

/// Walks a user's sessions: ends those that `which` picks, or lists all where there is none.
pub(super) async fn walk(
    redis: &RedisHandle,
    user: &str,
    which: Option<Revoke>,
) -> Result<Walked, StoreError> {
    let index = index(redis, user);
    let (task, id) = match which {
        None => ("L", String::new()),
        Some(Revoke::One(id)) => ("O", id.to_string()),
        Some(Revoke::Others(id)) => ("A", id.to_string()),
        Some(Revoke::All) => ("A", String::new()),
    };
    let mut walked = Walked::default();
    let mut unreadable = None;
    let mut pages = Pages::of(PAGE);
    let mut seen = HashSet::new();
    loop {
        let (at, size) = (pages.at.to_string(), pages.size.to_string());
        let command = |asked_ms| {
            let last = not_after(redis, asked_ms).to_string();
            let arguments = [user, task, &id, &at, &size, &last].map(str::as_bytes);
            USERS.by_digest(&[&index], &arguments)
        };
        let reply = in_time(redis, &USERS, || escaped(user), command).await;
        let page = Page::read(reply.map_err(store_error)?)?;
        walked.ended += page.ended;
        for (id, head) in page.found {
            if seen.insert(id) {
                let record = SessionRecord::decode_head(head)?;
                walked.found.push(UserSession::new(id, &record));
            }
        }
        unreadable = unreadable.or(page.unreadable);
        if page.next < 0 {
            break;
        }
        pages.go_on(page.next);
    }
    // Whoever asks must not believe that this was all.
    match unreadable {
        Some(code) => Err(refused(code)),
        None => Ok(walked),
    }
}

/// Where in a list a walk is: at a deadline, and not so many entries from the front, which go meanwhile.
///
/// Entries move to the back alone, so none is passed over that is there from beginning to end. Those with
/// the last deadline of a page are looked at again, as are those that have moved.
pub(super) struct Pages {
    /// In ms of Redis's clock.
    pub(super) at: i64,
    pub(super) size: usize,
    step: usize,
}

impl Pages {
    pub(super) fn of(step: usize) -> Self {
        let (at, size) = (i64::MIN, step);
        Self { at, size, step }
    }

    /// After a full page whose last deadline is `next`. The end comes: a page goes further, or more fit into
    /// the next one.
    pub(super) fn go_on(&mut self, next: i64) {
        match next > self.at {
            true => (self.at, self.size) = (next, self.step),
            false => self.size += self.step,
        }
    }
}

pub(super) struct Page {
    next: i64,
    ended: u64,
    unreadable: Option<i64>,
    found: Vec<(SessionId, Vec<u8>)>,
}

impl Page {
    pub(super) fn read(reply: Value) -> Result<Self, StoreError> {
        let Value::Array(reply) = reply else {
            return Err(surprise());
        };
        let [
            Value::Int(next),
            Value::Int(ended),
            Value::Int(unreadable),
            Value::Array(pairs),
        ] = &reply[..]
        else {
            return Err(surprise());
        };
        let mut found = Vec::with_capacity(pairs.len() / 2);
        for pair in pairs.chunks(2) {
            let [Value::BulkString(id), Value::BulkString(head)] = pair else {
                return Err(surprise());
            };
            let id = String::from_utf8_lossy(id).parse();
            found.push((id.map_err(|_| refused(CORRUPT))?, head.clone()));
        }
        Ok(Self {
            next: *next,
            ended: ended.unsigned_abs(),
            unreadable: (*unreadable != 0).then_some(*unreadable),
            found,
        })
    }
}

/// The scripts' word for what makes no sense.
pub(super) const CORRUPT: i64 = 7;

/// The key of a user's list.
pub(super) fn index(redis: &RedisHandle, user: &str) -> Vec<u8> {
    redis.keyspace().key("u1", &escaped(user), "")
}

/// The user's name in a key: all but the unreserved characters of RFC 3986 become `%XX`. The
/// scripts do the same.
fn escaped(user: &str) -> String {
    let mut escaped = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_users_share_a_list_and_none_breaks_the_hash_tag() {
        let users = ["ada", "a}da", "a{da", "a%7Dda", "a:da", "a da", "ä", "\0"];
        let names: std::collections::BTreeSet<_> = users.iter().map(|user| escaped(user)).collect();
        assert_eq!(names.len(), users.len());
        assert!(names.iter().all(|name| !name.contains(['{', '}', ':'])));
        assert_eq!(escaped("Ada.L-o_v~e@x"), "Ada.L-o_v~e%40x");
    }

    #[test]
    fn a_reply_that_no_script_sends_is_an_error() {
        let int = Value::Int;
        for reply in [
            Value::Nil,
            Value::Array(Vec::new()),
            Value::Array(vec![int(-1), int(0), int(0)]),
            Value::Array(vec![int(-1), int(0), int(0), Value::Array(vec![int(1)])]),
        ] {
            assert!(Page::read(reply).is_err());
        }
    }
}
