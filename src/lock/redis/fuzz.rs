//! What must hold for whatever bytes come from Redis and from those who share it.
//! Floor 4.
//!
//! Not part of the API: the fuzz targets call it.

#![allow(missing_docs, reason = "each says whose bytes they are")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::Request;
use tokio::time::Instant;

use crate::lock::key::query::query as of_template;
use crate::lock::key::source::KeyFrom;
use crate::lock::lease::LeaseTime;
use crate::lock::lock_key::LockKey;
use crate::lock::redis::grant::Grant;
use crate::lock::redis::inspect;
use crate::lock::redis::names::Names;
use crate::lock::redis::reply::{self, Ran};
use crate::lock::template::Template;
use crate::redis::keyspace::Keyspace;

/// A message in the inbox.
pub fn message(data: &[u8]) {
    let Some(grant) = Grant::parse(data) else {
        return;
    };
    let (fence, deadline_ms) = (grant.fence, grant.deadline_ms);
    let owner = grant.owner.as_bytes();
    let again = [
        b"1",
        &owner[..],
        format!("{fence:016}{deadline_ms:016}").as_bytes(),
    ]
    .concat();
    assert_eq!(again, data[..49], "one spelling a grant");
    let now = Instant::now();
    for redis_ms in [0, deadline_ms / 2, deadline_ms, u64::MAX] {
        let lease = grant.lease(
            Ran {
                sent: now,
                redis_ms,
            },
            now,
        );
        assert!(lease.is_none_or(|lease| redis_ms < deadline_ms && lease.fence() == fence));
    }
}

/// What a script replies.
pub fn reply(data: &[u8]) {
    let Ok(value) = ::redis::parse_redis_value(data) else {
        return;
    };
    let (now, lease) = (Instant::now(), LeaseTime::DEFAULT.get());
    let _ = reply::renewed(&value, now, lease).is_ok();
    let _ = reply::released(value.clone(), now, lease).is_ok();
    let _ = inspect::read(&value).is_ok();
    let _ = reply::acquired(value, now, lease).is_ok();
}

/// What a request wants to be locked.
pub fn key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    assert_eq!(LockKey::new(text).is_ok(), (1..=256).contains(&text.len()));
    let Some(key) = LockKey::bounded(text) else {
        return assert!(text.is_empty());
    };
    assert!(key.as_str().len() <= LockKey::MAX_BYTES);
    let names = Names::new(&Keyspace::new("app"), &key);
    let name = String::from_utf8_lossy(&names.lock);
    assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
    let inner = name
        .strip_prefix("app:l1:{")
        .and_then(|name| name.strip_suffix('}'));
    let Some(inner) = inner else {
        panic!("{name}");
    };
    assert!(!inner.contains(['{', '}']), "{name}");
    assert_eq!(
        unescaped(inner),
        key.as_str().as_bytes(),
        "no two keys meet"
    );
}

/// A template, a query string, and two values, each on a line of its own.
pub fn query(data: &[u8]) {
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let [template, query, a, b] = [line(), line(), line(), line()];
    if let Ok(text) = std::str::from_utf8(template)
        && let Ok(template) = Template::parse(text)
        && let Ok(key) = template.render(|_| Some(query))
    {
        assert!(!query.is_empty() && !key.as_str().contains(['{', '}']));
    }
    // Whatever the bytes of a query are; and where they are two values, no other two make their key.
    if let Ok(query) = std::str::from_utf8(query) {
        let _ = of_query(query);
    }
    let escaped =
        |value: &[u8]| -> String { value.iter().map(|it| format!("%{it:02x}")).collect() };
    let key = of_query(&format!("cart={}&x&shop={}", escaped(b), escaped(a)));
    let Some(key) = key else {
        return assert!(a.is_empty() || b.is_empty());
    };
    if let Some((of_a, of_b)) = key.as_str().split_once('/') {
        assert_eq!(
            [unescaped(of_a), unescaped(of_b)],
            [a, b],
            "no two keys meet"
        );
    } else {
        assert!(key.as_str().starts_with("%sha256:"), "{key}");
    }
}

/// What `{shop}/{cart}` makes of it.
fn of_query(query: &str) -> Option<LockKey> {
    let request = Request::get(format!("/?{query}")).body(()).ok()?;
    let key = of_template("{shop}/{cart}").key(&mut request.into_parts().0);
    match pin!(key).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(keys)) => keys?.as_slice().first().cloned(),
        other => panic!("{other:?}"),
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at(2);
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}
