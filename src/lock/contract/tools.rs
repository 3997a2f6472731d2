//! What the cases of the contract ask a backend with.
//!
//! Floor 3.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::lock::backend::{Acquired, LockBackend, Released, Renewed};
use crate::lock::holder::Holder;
use crate::lock::lease::{Claim, Lease, LeaseTime};
use crate::lock::lock_key::LockKey;

/// Long enough for a backend to answer on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn key(case: &str) -> LockKey {
    let unique: u128 = u128::from_le_bytes(crate::random::bytes());
    LockKey::new(format!("contract:{case}:{unique:x}")).expect("short")
}

pub(super) fn claim(key: &LockKey, lease_ms: u64) -> Claim {
    let lease = LeaseTime::new(Duration::from_millis(lease_ms)).expect("in range");
    Claim::new(key.clone(), lease)
}

#[track_caller]
pub(super) fn granted<E: std::fmt::Debug>(acquired: Result<Acquired, E>) -> Lease {
    match acquired {
        Ok(Acquired::Granted(lease)) => lease,
        other => panic!("expected a grant, got {other:?}"),
    }
}

#[track_caller]
pub(super) fn busy<E: std::fmt::Debug>(acquired: &Result<Acquired, E>) {
    assert!(
        matches!(acquired, Ok(Acquired::Busy { .. })),
        "expected busy, got {acquired:?}"
    );
}

pub(super) async fn release<B: LockBackend>(backend: &B, claim: &Claim) -> Released {
    within(backend.release(claim))
        .await
        .expect("the backend answers")
}

pub(super) async fn renew<B: LockBackend>(backend: &B, claim: &Claim) -> Option<Lease> {
    match within(backend.renew(claim))
        .await
        .expect("the backend answers")
    {
        Renewed::Renewed(lease) => Some(lease),
        Renewed::Lost => None,
    }
}

pub(super) async fn held<B: LockBackend>(backend: &B, key: &LockKey) -> Holder {
    let told = within(backend.inspect(key)).await;
    told.expect("it told before").expect("it is held")
}

pub(super) async fn eventually<B: LockBackend>(backend: &B, claim: &Claim) -> Lease {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Ok(Acquired::Granted(lease)) = backend.acquire(claim, None).await {
            return lease;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("the key did not come free");
}

pub(super) async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future)
        .await
        .expect("the backend does not answer")
}

/// From outside nobody can see a place in line, so this leaves plenty of time to get one.
pub(super) async fn get_in_line<F: Future + Unpin>(wait: &mut F) {
    let early = timeout(Duration::from_millis(250), wait).await;
    assert!(early.is_err(), "granted or refused while the key is held");
}

pub(super) async fn poll_times<F: Future>(future: &mut Pin<&mut F>, times: usize) {
    for _ in 0..times {
        let polled = future
            .as_mut()
            .poll(&mut Context::from_waker(std::task::Waker::noop()));
        if polled.is_ready() {
            return;
        }
        // Lets answers come in between, so that the next poll gets further.
        sleep(Duration::from_millis(5)).await;
    }
}
