//! Each promise of a store, put to the test.
//! Floor 3.

use std::time::Duration;

use bytes::Bytes;

use crate::session::contract::fixture::{LIMIT, create, kind, load, new_session, save, saved, set};
use crate::session::contract::time_outs::check_time_outs;
use crate::session::contract::users::check_users;
use crate::session::expiry::SessionExpiry;
use crate::session::fields;
use crate::session::record::SessionRecord;
use crate::session::save::{Plan, Save, SaveOutcome, Saved};
use crate::session::store::SessionStore;

/// Puts a store through everything that [`SessionStore`] promises, atomicity under concurrency
/// included. Uses random ids, so it may run against a store that holds other sessions.
///
/// # Panics
/// Where the store breaks the contract, saying which part.
pub async fn check<S: SessionStore>(store: &S) {
    what_is_created_is_loaded(store).await;
    an_id_is_created_once(store).await;
    nothing_but_create_makes_a_session(store).await;
    a_stranger_changes_nothing(store).await;
    saves_follow_their_plan(store).await;
    a_save_of_what_was_read_before_a_renewal_keeps_the_renewal(store).await;
    a_rotation_locks_the_old_verifier_out(store).await;
    limits_and_counters_refuse_without_a_trace(store).await;
    check_time_outs(store).await;
    concurrent_writes_all_survive(store).await;
    check_users(store).await;
}

async fn what_is_created_is_loaded<S: SessionStore>(store: &S) {
    let mut fields = Vec::new();
    fields::push(&mut fields, "bytes", &[0, 1, 0xff, b'"', b'\r', b'\n']);
    let token = create(store, &SessionExpiry::default(), &fields).await;
    let record = load(store, &token).await;
    assert_eq!(record.fields(), fields, "create changes the fields");
    let written = SessionRecord::decode(record.as_bytes().clone());
    assert!(written.is_ok(), "what is stored cannot be decoded");
    assert_eq!(record.created_ms(), record.seen_ms());
    let life = record.expires_ms() - record.created_ms();
    assert_eq!(life, SessionExpiry::default().idle_ms());
}

async fn an_id_is_created_once<S: SessionStore>(store: &S) {
    let token = create(store, &SessionExpiry::default(), &[]).await;
    let mut fields = Vec::new();
    fields::push(&mut fields, "a", b"1");
    let new = new_session(&token, &SessionExpiry::default(), &fields);
    let again = store.create(token.id(), &new).await;
    assert!(matches!(again, Ok(false)), "a taken id is created again");
    assert!(load(store, &token).await.fields().is_empty());
}

async fn nothing_but_create_makes_a_session<S: SessionStore>(store: &S) {
    let token = create(store, &SessionExpiry::default(), &[]).await;
    let base = load(store, &token).await;
    let destroyed = store.destroy(token.id(), &token.hash()).await;
    assert!(matches!(destroyed, Ok(true)), "destroy finds no session");
    let changes = set("a", b"1");
    for plan in [
        Plan::Merge,
        Plan::ReplaceOrMerge(&base),
        Plan::ReplaceOrReport(&base),
        Plan::Add { name: "n", by: 1 },
    ] {
        let outcome = saved(store, &token, &save(&token, &changes, plan)).await;
        assert_eq!(kind(&outcome), "absent", "a save to no session");
    }
    let renewed = store.renew(token.id(), &token.hash()).await;
    assert!(matches!(renewed, Ok(false)), "renew finds a session");
    let destroyed = store.destroy(token.id(), &token.hash()).await;
    assert!(matches!(destroyed, Ok(false)), "destroy finds a session");
    let loaded = store.load(token.id()).await;
    assert!(matches!(loaded, Ok(None)), "a session came back");
}

async fn a_stranger_changes_nothing<S: SessionStore>(store: &S) {
    let token = create(store, &SessionExpiry::default(), &[]).await;
    let stranger = token.rotated();
    let before = load(store, &token).await;
    let changes = set("a", b"1");
    let outcome = saved(store, &token, &save(&stranger, &changes, Plan::Merge)).await;
    assert_eq!(kind(&outcome), "absent", "a stranger's save");
    let renewed = store.renew(token.id(), &stranger.hash()).await;
    assert!(matches!(renewed, Ok(false)), "a stranger's renewal");
    let destroyed = store.destroy(token.id(), &stranger.hash()).await;
    assert!(matches!(destroyed, Ok(false)), "a stranger's destroy");
    assert_eq!(load(store, &token).await.as_bytes(), before.as_bytes());
}

async fn saves_follow_their_plan<S: SessionStore>(store: &S) {
    let token = create(store, &SessionExpiry::default(), &[]).await;
    let base = load(store, &token).await;
    let (first, second) = (set("a", b"1"), set("b", b"2"));
    let exact = save(&token, &first, Plan::ReplaceOrReport(&base));
    let outcome = saved(store, &token, &exact).await;
    assert_eq!(kind(&outcome), "saved", "a save of what was loaded");
    let SaveOutcome::Conflict(current) = saved(store, &token, &exact).await else {
        panic!("a save of what is not there any more is no conflict");
    };
    let whole = first.merge_into(base.fields());
    assert_eq!(current.fields(), whole, "a conflict tells what is there");
    let plan = Plan::ReplaceOrMerge(&base);
    let outcome = saved(store, &token, &save(&token, &second, plan)).await;
    assert_eq!(kind(&outcome), "saved");
    let merged = load(store, &token).await;
    assert_eq!(merged.field("a"), Some(Bytes::from_static(b"1")));
    assert_eq!(merged.field("b"), Some(Bytes::from_static(b"2")));
}

async fn a_save_of_what_was_read_before_a_renewal_keeps_the_renewal<S: SessionStore>(store: &S) {
    let token = create(store, &SessionExpiry::default(), &[]).await;
    let base = load(store, &token).await;
    let changes = set("a", b"1");
    for plan in [Plan::ReplaceOrMerge(&base), Plan::ReplaceOrReport(&base)] {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let renewed = store.renew(token.id(), &token.hash()).await;
        assert!(matches!(renewed, Ok(true)), "a renewal");
        let renewed_ms = load(store, &token).await.seen_ms();
        let outcome = saved(store, &token, &save(&token, &changes, plan)).await;
        assert!(matches!(kind(&outcome), "saved" | "conflict"));
        let seen_ms = load(store, &token).await.seen_ms();
        assert!(seen_ms >= renewed_ms, "{seen_ms} after {renewed_ms}");
    }
}

async fn a_rotation_locks_the_old_verifier_out<S: SessionStore>(store: &S) {
    let old = create(store, &SessionExpiry::default(), &[]).await;
    let new = old.rotated();
    let changes = set("a", b"1");
    let rotation = Save {
        rotate_to: Some(new.hash()),
        ..save(&old, &changes, Plan::Merge)
    };
    let outcome = saved(store, &old, &rotation).await;
    assert_eq!(kind(&outcome), "saved", "a rotation");
    let late = saved(store, &old, &save(&old, &changes, Plan::Merge)).await;
    assert_eq!(kind(&late), "superseded", "a late save");
    let renewed = store.renew(old.id(), &old.hash()).await;
    assert!(matches!(renewed, Ok(false)), "the old verifier renews");
    let destroyed = store.destroy(old.id(), &old.hash()).await;
    assert!(matches!(destroyed, Ok(false)), "the old verifier destroys");
    let outcome = saved(store, &new, &save(&new, &changes, Plan::Merge)).await;
    assert_eq!(kind(&outcome), "saved", "the new verifier");
    assert_eq!(
        load(store, &new).await.field("a"),
        Some(Bytes::from_static(b"1"))
    );
}

async fn limits_and_counters_refuse_without_a_trace<S: SessionStore>(store: &S) {
    let mut fields = Vec::new();
    fields::push(&mut fields, "text", b"\"x\"");
    fields::push(
        &mut fields,
        "max",
        fields::COUNTER_MAX.to_string().as_bytes(),
    );
    fields::push(
        &mut fields,
        "min",
        (-fields::COUNTER_MAX).to_string().as_bytes(),
    );
    fields::push(&mut fields, "long", b"00000000000000001");
    let token = create(store, &SessionExpiry::default(), &fields).await;
    let before = load(store, &token).await;
    let changes = set("big", &[b'x'; LIMIT]);
    let outcome = saved(store, &token, &save(&token, &changes, Plan::Merge)).await;
    assert_eq!(kind(&outcome), "too large");
    let changes = set("carried", b"1");
    for (name, by) in [("text", 1), ("max", 1), ("min", -1), ("long", 1)] {
        let plan = Plan::Add { name, by };
        let outcome = saved(store, &token, &save(&token, &changes, plan)).await;
        assert_eq!(kind(&outcome), "not an integer", "{name}");
    }
    assert_eq!(load(store, &token).await.as_bytes(), before.as_bytes());
    let plan = Plan::Add {
        name: "max",
        by: -1,
    };
    let outcome = saved(store, &token, &save(&token, &changes, plan)).await;
    let SaveOutcome::Saved(Saved { sum, .. }) = outcome else {
        panic!("an addition within the range is refused");
    };
    assert_eq!(sum, Some(fields::COUNTER_MAX - 1));
    assert_eq!(
        load(store, &token).await.field("carried"),
        Some(Bytes::from_static(b"1"))
    );
}

async fn concurrent_writes_all_survive<S: SessionStore>(store: &S) {
    const TASKS: usize = 8;
    const ROUNDS: usize = 25;
    let token = &create(store, &SessionExpiry::default(), &[]).await;
    let write = async |task: usize| {
        for round in 0..ROUNDS {
            let changes = set(&format!("f{task}"), round.to_string().as_bytes());
            let plan = Plan::Add { name: "n", by: 1 };
            let outcome = saved(store, token, &save(token, &changes, plan)).await;
            assert_eq!(kind(&outcome), "saved");
        }
    };
    let mut writers: Vec<_> = (0..TASKS).map(|task| Box::pin(write(task))).collect();
    std::future::poll_fn(|cx| {
        writers.retain_mut(|writer| writer.as_mut().poll(cx).is_pending());
        match writers.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    let record = load(store, token).await;
    let sum = (TASKS * ROUNDS).to_string();
    assert_eq!(
        record.field("n"),
        Some(Bytes::from(sum)),
        "additions got lost"
    );
    for task in 0..TASKS {
        let last = Bytes::from((ROUNDS - 1).to_string());
        assert_eq!(
            record.field(&format!("f{task}")),
            Some(last),
            "a field got lost"
        );
    }
}
