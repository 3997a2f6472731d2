//! What the parts of the contract suite share.
//! Floor 3.

use std::time::Duration;

use bytes::Bytes;

use crate::session::change::ChangeSet;
use crate::session::expiry::SessionExpiry;
use crate::session::record::{SessionRecord, Version};
use crate::session::save::{NewSession, Plan, Save, SaveOutcome};
use crate::session::store::SessionStore;
use crate::session::terms::AS_THEY_ARE;
use crate::session::token::Token;

/// Small, so that it is reached.
pub(super) const LIMIT: usize = 1024;

pub(super) fn expiry(idle_ms: u64, absolute_ms: u64) -> SessionExpiry {
    let ms = Duration::from_millis;
    SessionExpiry::new(ms(idle_ms), ms(absolute_ms)).unwrap_or_default()
}

pub(super) fn new_session<'a>(
    token: &Token,
    expiry: &SessionExpiry,
    fields: &'a [u8],
) -> NewSession<'a> {
    NewSession {
        verifier: token.hash(),
        version: Version::next(),
        expiry: *expiry,
        terms: &AS_THEY_ARE,
        fields,
    }
}

pub(super) async fn create<S: SessionStore>(
    store: &S,
    expiry: &SessionExpiry,
    fields: &[u8],
) -> Token {
    let token = Token::random();
    let created = store
        .create(token.id(), &new_session(&token, expiry, fields))
        .await;
    assert!(matches!(created, Ok(true)), "create: {created:?}");
    token
}

pub(super) async fn load<S: SessionStore>(store: &S, token: &Token) -> SessionRecord {
    match store.load(token.id()).await {
        Ok(Some(record)) => record,
        other => panic!("load: {other:?}"),
    }
}

pub(super) fn set(name: &str, value: &[u8]) -> ChangeSet {
    let mut changes = ChangeSet::default();
    changes.put(name, Some(Bytes::copy_from_slice(value)));
    changes
}

pub(super) fn save<'a>(token: &Token, changes: &'a ChangeSet, plan: Plan<'a>) -> Save<'a> {
    Save {
        verifier: token.hash(),
        version: Version::next(),
        changes,
        plan,
        rotate_to: None,
        terms: &AS_THEY_ARE,
        limit: LIMIT,
    }
}

pub(super) async fn saved<S: SessionStore>(
    store: &S,
    token: &Token,
    save: &Save<'_>,
) -> SaveOutcome {
    match store.save(token.id(), save).await {
        Ok(outcome) => outcome,
        Err(error) => panic!("save fails: {error}"),
    }
}

pub(super) fn kind(outcome: &SaveOutcome) -> &'static str {
    match outcome {
        SaveOutcome::Saved(_) => "saved",
        SaveOutcome::Conflict(_) => "conflict",
        SaveOutcome::Absent => "absent",
        SaveOutcome::Superseded => "superseded",
        SaveOutcome::TooLarge => "too large",
        SaveOutcome::NotInteger => "not an integer",
    }
}
