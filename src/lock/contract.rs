//! The contract of [`LockBackend`], as a test for any implementation.
//!
//! ```no_run
//! # async fn test() {
//! use tower_handoff::lock::{MemoryLocks, contract};
//!
//! contract::check(&MemoryLocks::new()).await;
//! # }
//! ```
//!
//! Floor 3.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::lock::backend::{LockBackend, Released};
use crate::lock::contract::tools::{
    PATIENCE, busy, claim, eventually, get_in_line, granted, held, key, poll_times, release, renew,
    within,
};
use crate::lock::lease::Fence;
use crate::lock::lock_key::LockKey;
use crate::lock::note::Note;

mod tools;

/// Checks every rule that can be seen from outside, on keys of its own. Takes some seconds.
///
/// # Panics
/// When the backend breaks the contract.
pub async fn check<B: LockBackend>(backend: &B) {
    a_free_key_is_granted_for_the_lease(backend).await;
    a_busy_key_is_refused_at_once_and_nothing_stays(backend).await;
    acquiring_again_is_the_same_grant(backend).await;
    only_the_owner_lets_go(backend).await;
    a_renewed_lease_lasts(backend).await;
    a_lease_ends_before_anybody_else_is_granted_the_key(backend).await;
    waiters_are_served_in_line(backend).await;
    a_wait_that_ends_leaves_nothing(backend).await;
    a_waiter_can_leave_the_line(backend).await;
    an_expired_lease_goes_to_the_waiter(backend).await;
    a_dropped_acquire_can_be_withdrawn(backend).await;
    keys_do_not_meet(backend).await;
    who_holds_a_key_is_known_to_operators(backend).await;
}

async fn a_free_key_is_granted_for_the_lease<B: LockBackend>(backend: &B) {
    let claim = claim(&key("free"), 10_000);
    let before = Instant::now();
    let lease = granted(backend.acquire(&claim, None).await);
    let least = before + Duration::from_secs(5);
    let most = Instant::now() + Duration::from_secs(10);
    assert!(lease.deadline() > least, "the lease is much too short");
    assert!(lease.deadline() < most, "the lease is longer than asked");
    assert_eq!(release(backend, &claim).await, Released::Freed);
}

async fn a_busy_key_is_refused_at_once_and_nothing_stays<B: LockBackend>(backend: &B) {
    let key = key("busy");
    let (holder, other) = (claim(&key, 10_000), claim(&key, 10_000));
    let first = granted(backend.acquire(&holder, None).await);
    busy(&backend.acquire(&other, None).await);
    assert_eq!(
        release(backend, &holder).await,
        Released::Freed,
        "the refused claim waits"
    );
    let second = granted(backend.acquire(&other, None).await);
    assert!(
        second.fence() > first.fence(),
        "the fence must grow across releases"
    );
    release(backend, &other).await;
}

async fn acquiring_again_is_the_same_grant<B: LockBackend>(backend: &B) {
    let claim = claim(&key("again"), 10_000);
    let first = granted(backend.acquire(&claim, None).await);
    let second = granted(backend.acquire(&claim, Some(PATIENCE)).await);
    assert_eq!(first.fence(), second.fence());
    assert_eq!(release(backend, &claim).await, Released::Freed);
    assert_eq!(release(backend, &claim).await, Released::NotHeld);
}

async fn only_the_owner_lets_go<B: LockBackend>(backend: &B) {
    let key = key("owner");
    let (holder, other) = (claim(&key, 10_000), claim(&key, 10_000));
    granted(backend.acquire(&holder, None).await);
    assert_eq!(release(backend, &other).await, Released::NotHeld);
    assert_eq!(
        renew(backend, &other).await,
        None,
        "somebody else's lease was renewed"
    );
    busy(&backend.acquire(&other, None).await);
    assert_eq!(release(backend, &holder).await, Released::Freed);
}

async fn a_renewed_lease_lasts<B: LockBackend>(backend: &B) {
    let key = key("renewed");
    let (holder, other) = (claim(&key, 2_000), claim(&key, 2_000));
    let lease = granted(backend.acquire(&holder, None).await);
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        sleep(Duration::from_millis(200)).await;
        let renewed = renew(backend, &holder)
            .await
            .expect("the lease is not over");
        assert_eq!(renewed.fence(), lease.fence(), "a renewal keeps its fence");
        assert!(renewed.deadline() > Instant::now());
        busy(&backend.acquire(&other, None).await);
    }
    assert_eq!(release(backend, &holder).await, Released::Freed);
}

async fn a_lease_ends_before_anybody_else_is_granted_the_key<B: LockBackend>(backend: &B) {
    let key = key("lost");
    let (holder, other) = (claim(&key, 200), claim(&key, 10_000));
    let lost = granted(backend.acquire(&holder, None).await);
    let taken = eventually(backend, &other).await;
    assert!(
        Instant::now() >= lost.deadline(),
        "two hold the key by their own clocks"
    );
    assert!(
        taken.fence() > lost.fence(),
        "the fence must grow across expiry"
    );
    assert_eq!(renew(backend, &holder).await, None);
    assert_eq!(release(backend, &holder).await, Released::NotHeld);
    assert_eq!(
        release(backend, &other).await,
        Released::Freed,
        "the old owner let go of it"
    );
}

async fn waiters_are_served_in_line<B: LockBackend>(backend: &B) {
    let key = key("line");
    let holder = claim(&key, 10_000);
    let mut last: Fence = granted(backend.acquire(&holder, None).await).fence();
    let waiters = [
        claim(&key, 10_000),
        claim(&key, 10_000),
        claim(&key, 10_000),
    ];
    let mut waits: Vec<Pin<Box<dyn Future<Output = _> + Send>>> = Vec::new();
    for waiter in &waiters {
        waits.push(Box::pin(backend.acquire(waiter, Some(PATIENCE))));
        for wait in &mut waits {
            get_in_line(wait).await;
        }
    }
    let mut before = &holder;
    for (waiter, mut wait) in waiters.iter().zip(waits) {
        assert_eq!(release(backend, before).await, Released::HandedOver);
        let newcomer = claim(&key, 10_000);
        busy(&backend.acquire(&newcomer, None).await);
        let lease = granted(within(&mut wait).await);
        assert!(
            lease.fence() > last,
            "the fence must grow across a hand-over"
        );
        last = lease.fence();
        before = waiter;
    }
    assert_eq!(release(backend, before).await, Released::Freed);
}

async fn a_wait_that_ends_leaves_nothing<B: LockBackend>(backend: &B) {
    let key = key("patience");
    let (holder, other) = (claim(&key, 10_000), claim(&key, 10_000));
    granted(backend.acquire(&holder, None).await);
    let wait = backend.acquire(&other, Some(Duration::from_millis(300)));
    busy(&within(wait).await);
    assert_eq!(
        release(backend, &holder).await,
        Released::Freed,
        "it still waits"
    );
}

async fn a_waiter_can_leave_the_line<B: LockBackend>(backend: &B) {
    let key = key("leave");
    let (holder, other) = (claim(&key, 10_000), claim(&key, 10_000));
    granted(backend.acquire(&holder, None).await);
    {
        let mut wait = pin!(backend.acquire(&other, Some(PATIENCE)));
        get_in_line(&mut wait).await;
    }
    within(backend.withdraw(&other)).await.expect("withdraws");
    assert_eq!(
        release(backend, &holder).await,
        Released::Freed,
        "it still waits"
    );
}

async fn an_expired_lease_goes_to_the_waiter<B: LockBackend>(backend: &B) {
    let key = key("expired");
    let (holder, other) = (claim(&key, 500), claim(&key, 10_000));
    let lost = granted(backend.acquire(&holder, None).await);
    let taken = granted(within(backend.acquire(&other, Some(PATIENCE))).await);
    assert!(taken.fence() > lost.fence());
    assert!(Instant::now() >= lost.deadline());
    assert_eq!(release(backend, &other).await, Released::Freed);
}

/// Drops the future of an acquire at each of its awaits.
async fn a_dropped_acquire_can_be_withdrawn<B: LockBackend>(backend: &B) {
    for polls in 1..8 {
        for wait in [None, Some(PATIENCE)] {
            let key = key("dropped");
            let (dropped, other) = (claim(&key, 60_000), claim(&key, 10_000));
            {
                let mut acquire = pin!(backend.acquire(&dropped, wait));
                poll_times(&mut acquire, polls).await;
            }
            within(backend.withdraw(&dropped)).await.expect("withdraws");
            let lease = backend.acquire(&other, None).await;
            granted(lease);
            release(backend, &other).await;
        }
    }
}

async fn keys_do_not_meet<B: LockBackend>(backend: &B) {
    let unique = key("keys");
    let long = format!(
        "{unique}{}",
        "x".repeat(LockKey::MAX_BYTES - unique.as_str().len())
    );
    let names = [
        format!("{unique}a"),
        format!("{unique}A"),
        format!("{unique}a}}:q"),
        format!("{unique}{{a}}"),
        format!("{unique}a:f"),
        format!("{unique}\u{0}\r\n\u{e9}"),
        long,
    ];
    let claims = names.map(|name| claim(&LockKey::new(name).expect("within bounds"), 10_000));
    for claim in &claims {
        granted(backend.acquire(claim, None).await);
    }
    for claim in &claims {
        assert_eq!(
            release(backend, claim).await,
            Released::Freed,
            "{:?}",
            claim.key
        );
    }
}

async fn who_holds_a_key_is_known_to_operators<B: LockBackend>(backend: &B) {
    let key = key("inspect");
    let (mut holder, other) = (claim(&key, 10_000), claim(&key, 10_000));
    holder.note = Note::new(Some("contract"), Some("/orders/{id}"), None);
    // A backend that does not tell never does.
    let Ok(nobody) = within(backend.inspect(&key)).await else {
        return;
    };
    assert_eq!(nobody, None, "nobody holds a key that is free");
    let lease = granted(backend.acquire(&holder, None).await);
    let seen = held(backend, &key).await;
    assert_eq!((seen.fence, &seen.note), (lease.fence(), &holder.note));
    assert_eq!(seen.waiting, 0);
    assert!(seen.remaining <= Duration::from_secs(10), "{seen:?}");
    {
        let mut wait = pin!(backend.acquire(&other, Some(PATIENCE)));
        get_in_line(&mut wait).await;
        // Who waits in the holder's own process need not be known to the store.
        assert!(held(backend, &key).await.waiting <= 1, "one waits");
    }
    within(backend.withdraw(&other)).await.expect("withdraws");
    let again = renew(backend, &holder)
        .await
        .expect("it was only looked at");
    assert_eq!(again.fence(), held(backend, &key).await.fence);
    assert_eq!(release(backend, &holder).await, Released::Freed);
    let nobody = within(backend.inspect(&key)).await.expect("it told before");
    assert_eq!(nobody, None, "it is let go");
}
