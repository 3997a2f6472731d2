//! What must hold for whatever Redis keeps of a job, and whatever it replies.
//!
//! Floor 4.
//!
//! Not part of the API: the fuzz target calls it.

#![allow(missing_docs, reason = "it says whose bytes they are")]

use ::redis::Value;

use crate::once::redis::reply::{begun, finished, found};
use crate::once::store::{Begun, Found};

/// What scripts reply; or a byte that says how long the lock's value is, that, and what is kept beside it.
pub fn reply(data: &[u8]) {
    if let Some((length, rest)) = data.split_first() {
        let (lock, kept) = rest.split_at(rest.len().min((*length).into()));
        read([lock, kept].map(|it| (!it.is_empty()).then(|| it.to_vec())));
    }
    let Ok(value) = ::redis::parse_redis_value(data) else {
        return;
    };
    let of_a_script = begun(value.clone());
    if let Ok(Begun::Done(result)) = &of_a_script {
        assert_eq!(value, Value::BulkString([b"1d", &result[..]].concat()));
    }
    // They differ in this alone.
    let is_done = matches!(of_a_script, Ok(Begun::Done(_)));
    assert_eq!(finished(&value).is_ok(), of_a_script.is_ok() && !is_done);
}

fn read(both: [Option<Vec<u8>>; 2]) {
    let [lock, kept] = both.clone();
    let kept = kept.unwrap_or_default();
    match found(both) {
        Ok(Found::Done(result)) => assert_eq!([b"1d", &result[..]].concat(), kept),
        Ok(Found::Running(by)) => {
            let held = lock.unwrap_or_default();
            assert_eq!(held.get(..17), kept.get(2..19), "under this very token");
            assert_eq!(String::from_utf8_lossy(&kept[19..]), by);
        }
        Ok(Found::Nothing) => assert!(kept.is_empty() || kept.starts_with(b"1r")),
        // Neither to be taken for a result nor run over.
        Err(_) => assert!(!kept.starts_with(b"1d") && !kept.starts_with(b"1r")),
    }
}
