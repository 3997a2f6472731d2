//! When a session ends by itself, put to the test.
//! Floor 3.

use std::time::Duration;

use crate::session::change::ChangeSet;
use crate::session::contract::fixture::{create, expiry, kind, load, save, saved, set};
use crate::session::save::{Plan, Save, SaveOutcome, Saved};
use crate::session::store::SessionStore;
use crate::session::terms::Terms;

pub(super) async fn check_time_outs<S: SessionStore>(store: &S) {
    an_idle_session_expires_and_a_used_one_does_not(store).await;
    the_absolute_deadline_stands(store).await;
    new_time_outs_are_kept_by_later_writes(store).await;
}

async fn an_idle_session_expires_and_a_used_one_does_not<S: SessionStore>(store: &S) {
    let (used, idle) = (expiry(1_500, 60_000), expiry(300, 60_000));
    let (used, idle) = (
        create(store, &used, &[]).await,
        create(store, &idle, &[]).await,
    );
    let began = store.now_ms();
    while store.now_ms() < began + 3_000 {
        let renewed = store.renew(used.id(), &used.hash()).await;
        assert!(matches!(renewed, Ok(true)), "a session in use expired");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        load(store, &used).await.seen_ms() > began,
        "renew marks no use"
    );
    let loaded = store.load(idle.id()).await;
    assert!(matches!(loaded, Ok(None)), "an idle session is still there");
    let outcome = saved(store, &idle, &save(&idle, &set("a", b"1"), Plan::Merge)).await;
    assert_eq!(kind(&outcome), "absent", "a save to an expired session");
}

async fn the_absolute_deadline_stands<S: SessionStore>(store: &S) {
    let token = create(store, &expiry(800, 1_000), &[]).await;
    let deadline = store.now_ms() + 5_000;
    let changes = set("a", b"1");
    // Neither renewals nor writes move it.
    loop {
        let renewed = store.renew(token.id(), &token.hash()).await;
        let renewed = renewed.unwrap_or_else(|error| panic!("renew fails: {error}"));
        let outcome = saved(store, &token, &save(&token, &changes, Plan::Merge)).await;
        if !renewed && kind(&outcome) == "absent" {
            break;
        }
        assert!(store.now_ms() < deadline, "use moves the absolute deadline");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let loaded = store.load(token.id()).await;
    assert!(
        matches!(loaded, Ok(None)),
        "a session outlives its deadline"
    );
}

async fn new_time_outs_are_kept_by_later_writes<S: SessionStore>(store: &S) {
    let token = create(store, &expiry(60_000, 60_000), &[]).await;
    let changes = ChangeSet::default();
    let terms = Terms {
        expiry: Some(expiry(600_000, 6_000_000)),
        ..Terms::default()
    };
    let remembered = Save {
        terms: &terms,
        ..save(&token, &changes, Plan::Merge)
    };
    for save in [remembered, save(&token, &set("a", b"1"), Plan::Merge)] {
        let outcome = saved(store, &token, &save).await;
        let SaveOutcome::Saved(Saved { lifetime_ms, .. }) = outcome else {
            panic!("other time-outs are refused");
        };
        assert!(
            lifetime_ms > 5_000_000,
            "the absolute time-out: {lifetime_ms}"
        );
        let record = load(store, &token).await;
        assert_eq!(record.idle_ms(), 600_000, "the idle time-out");
        assert_eq!(record.expires_ms(), record.seen_ms() + 600_000);
    }
}
