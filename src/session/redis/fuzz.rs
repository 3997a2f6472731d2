//! What must hold for whatever Redis replies.
//! Floor 4.
//!
//! Not part of the API: the fuzz targets call it.

#[cfg(feature = "cluster")]
use std::collections::HashSet;

use ::redis::Value;

use crate::session::change::ChangeSet;
use crate::session::id::SessionId;
use crate::session::record::{SessionRecord, Version};
#[cfg(feature = "cluster")]
use crate::session::redis::apart;
use crate::session::redis::save::save_reply;
use crate::session::redis::walk::Page;
#[cfg(feature = "cluster")]
use crate::session::redis::walk::Pages;
use crate::session::save::{Plan, Save};
use crate::session::terms::AS_THEY_ARE;
use crate::session::token::VerifierHash;
use crate::session::user_session::UserSession;

/// What a script replies.
pub fn reply(data: &[u8]) {
    let Ok(value) = ::redis::parse_redis_value(data) else {
        return;
    };
    let save = Save {
        verifier: VerifierHash::from_bytes([7; 32]),
        version: Version::next(),
        plan: Plan::Merge,
        changes: &ChangeSet::default(),
        terms: &AS_THEY_ARE,
        rotate_to: None,
        limit: 1024,
    };
    let _ = save_reply(value.clone(), &save, 1_700_000_000_000).is_ok();
    let _ = Page::read(value.clone()).is_ok();
    if let Value::BulkString(head) = &value
        && let Ok(record) = SessionRecord::decode_head(head.clone())
    {
        // Whose it is, and what the list says of it.
        assert!(head.starts_with(record.as_bytes()) && record.fields().is_empty());
        let _ = UserSession::new(SessionId::from_bytes([7; 16]), &record);
    }
    #[cfg(feature = "cluster")]
    apart(value);
}

/// Where the list and the sessions are on different nodes.
#[cfg(feature = "cluster")]
fn apart(value: Value) {
    if let Some((user, Some(_))) = apart::due(&value) {
        assert!(matches!(value, Value::Array(entry) if entry[1] == Value::BulkString(user.into())));
    } else if let Ok(entries) = ::redis::from_redis_value(value) {
        walk(entries);
    }
}

/// A list of whatever deadlines there are, in small pages, read by deadline as Redis does.
#[cfg(feature = "cluster")]
fn walk(mut entries: Vec<(Vec<u8>, f64)>) {
    // No deadline is earlier than Redis's clock.
    entries.retain(|(_, deadline)| *deadline >= 0.0);
    entries.sort_by(|(a, at), (b, bt)| at.total_cmp(bt).then_with(|| a.cmp(b)));
    for step in 1..=3 {
        let mut seen = HashSet::new();
        let mut pages = Pages::of(step);
        for asked in 0.. {
            assert!(asked <= 2 * entries.len(), "it comes to an end");
            let page = entries.iter().filter(|(_, at)| *at >= pages.at as f64);
            let page = page.take(pages.size).map(|(entry, at)| {
                Value::Array(vec![Value::BulkString(entry.clone()), Value::Double(*at)])
            });
            let Ok((page, next)) = apart::listed(Value::Array(page.collect()), pages.size) else {
                panic!("it is a page")
            };
            seen.extend(page);
            match next {
                Some(next) => pages.go_on(next),
                None => break,
            }
        }
        assert!(entries.iter().all(|(entry, _)| seen.contains(entry)));
    }
}
