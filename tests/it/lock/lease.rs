//! What a holder learns of its lease, and when.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tower_handoff::lock::{
    Acquired, Claim, HeldLocks, LockBackend, LockError, LockErrorKind, MemoryLocks, OnLost,
    Released, Renewed,
};
use tower_handoff::{Reason, Refusal};

use super::rig::{fencing, guarded, hanging, layer, ms, on_both, send, status, text};
use crate::support::eventually::eventually;

on_both!(
    a_request_longer_than_its_lease_keeps_the_lock,
    a_guard_that_outlives_its_request_holds_nothing,
    a_lock_held_for_too_long_is_let_go_and_lost,
);

async fn a_lock_held_for_too_long_is_let_go_and_lost(locks: impl LockBackend + Clone) {
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
    let capped = layer(&locks)
        .with_lease(ms(3_600_000))
        .unwrap()
        .with_max_hold(ms(300))
        .unwrap();
    let service = guarded(&capped, move |guard| {
        let tell = tell.clone();
        async move {
            assert!(guard.remaining() <= ms(300));
            guard.lost().await;
            let error = guard.check().unwrap_err();
            assert_eq!(error.kind(), LockErrorKind::Lost);
            tell.lock().unwrap().take().unwrap().send(()).unwrap();
            std::future::pending().await
        }
    });
    let slow = tokio::spawn(async move { send(&service, "a").await });
    told.await.unwrap();
    // The lease of an hour does not matter: it is let go.
    let next = fencing(&layer(&locks).with_try());
    eventually("it is let go", async || {
        status(&next, "a").await == StatusCode::OK
    })
    .await;
    assert!(layer(&locks).with_max_hold(ms(99)).is_err());
    slow.abort();
}

async fn a_request_longer_than_its_lease_keeps_the_lock(locks: impl LockBackend + Clone) {
    let short = layer(&locks).with_lease(ms(4_000)).unwrap();
    let long = guarded(&short, |guard| async move {
        sleep(ms(6_000)).await;
        assert!(guard.remaining() <= ms(4_000));
        guard.check().is_ok().to_string()
    });
    let task = tokio::spawn(async move { text(send(&long, "a").await).await });
    let held = locks.held();
    eventually("it is held", async || !held.names().is_empty()).await;
    let other = fencing(&layer(&locks).with_try());
    while !task.is_finished() {
        let other = status(&other, "a").await;
        // The request may just have ended.
        assert!(other == StatusCode::CONFLICT || held.names().is_empty());
        sleep(ms(50)).await;
    }
    assert_eq!(task.await.unwrap(), "true");
}

async fn a_guard_that_outlives_its_request_holds_nothing(locks: impl LockBackend + Clone) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let service = guarded(&layer(&locks).with_wait(ms(8_000)).unwrap(), move |guard| {
        sender.send(guard).unwrap();
        async { String::new() }
    });
    assert_eq!(status(&service, "a").await, StatusCode::OK);
    let guard = receiver.recv().await.unwrap();
    guard.lost().await;
    assert_eq!(guard.check().unwrap_err().kind(), LockErrorKind::Released);
    assert_eq!(status(&service, "a").await, StatusCode::OK);
    assert!(
        !format!("{guard:?}").to_lowercase().contains("owner"),
        "{guard:?}"
    );
}

/// Memory locks whose renewals fail, or say that the lock is lost, or never come back.
#[derive(Clone)]
struct Faulty {
    inner: MemoryLocks,
    fault: Fault,
    renewals: Arc<AtomicU64>,
    epochs: watch::Sender<u64>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    Lost,
    Error,
    Silence,
    None,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self {
            inner: MemoryLocks::new(),
            fault,
            renewals: Arc::default(),
            epochs: watch::Sender::new(0),
        }
    }
}

impl LockBackend for Faulty {
    fn acquire(
        &self,
        claim: &Claim,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<Acquired, LockError>> + Send {
        self.inner.acquire(claim, wait)
    }

    async fn renew(&self, claim: &Claim) -> Result<Renewed, LockError> {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::Lost => Ok(Renewed::Lost),
            Fault::Error => Err(LockError::unavailable("on purpose")),
            Fault::Silence => std::future::pending().await,
            Fault::None => self.inner.renew(claim).await,
        }
    }

    fn release(&self, claim: &Claim) -> impl Future<Output = Result<Released, LockError>> + Send {
        self.inner.release(claim)
    }

    fn held(&self) -> HeldLocks {
        self.inner.held()
    }

    fn reconnects(&self) -> Option<watch::Receiver<u64>> {
        Some(self.epochs.subscribe())
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_lock_is_known_before_anybody_else_can_hold_it() {
    for fault in [Fault::Lost, Fault::Error, Fault::Silence] {
        let locks = Faulty::new(fault);
        let service = guarded(&layer(&locks), move |guard| async move {
            let begun = Instant::now();
            guard.lost().await;
            let passed = begun.elapsed();
            // The lease of 10 s, less 1 % and 2 ms. To be told is to know at once.
            let expected = if fault == Fault::Lost { 3_400 } else { 9_900 };
            assert!(passed <= ms(expected), "{fault:?}: {passed:?}");
            assert!(
                fault == Fault::Lost || passed > ms(9_800),
                "{fault:?}: {passed:?}"
            );
            assert_eq!(guard.check().unwrap_err().kind(), LockErrorKind::Lost);
            assert!(guard.remaining().is_zero());
            guard.lost().await; // also for whoever asks late
            "went on".to_owned()
        });
        let answer = send(&service, "a").await;
        assert_eq!(answer.status(), StatusCode::OK, "the default only tells");
        assert_eq!(text(answer).await, "went on");
        if fault != Fault::Lost {
            let renewals = locks.renewals.load(Ordering::SeqCst);
            assert!(
                (2..=20).contains(&renewals),
                "{fault:?}: {renewals} attempts"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_be_stopped_when_its_lock_is_lost() {
    for fault in [Fault::Lost, Fault::Error, Fault::Silence] {
        let locks = Faulty::new(fault);
        let begun = Instant::now();
        let service = hanging(&layer(&locks).with_on_lost(OnLost::Stop));
        let answer = send(&service, "a").await;
        assert!(begun.elapsed() < ms(10_000), "{fault:?}");
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(
            answer.extensions().get::<Refusal>().unwrap().reason,
            Reason::LockLost
        );
        assert!(!answer.headers().contains_key(RETRY_AFTER));
        assert!(text(answer).await.contains("lock-lost"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_suspended_past_its_lease_takes_no_further_step() {
    let stepped = Arc::new(AtomicBool::new(false));
    let (resume, after) = (Arc::new(Notify::new()), stepped.clone());
    let service = {
        let resume = resume.clone();
        let layer = layer(&Faulty::new(Fault::Silence)).with_on_lost(OnLost::Stop);
        guarded(&layer, move |_| {
            let (resume, after) = (resume.clone(), after.clone());
            async move {
                resume.notified().await;
                after.store(true, Ordering::SeqCst);
                String::new()
            }
        })
    };
    let mut request = Box::pin(send(&service, "a"));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(request.as_mut().poll(&mut context).is_pending());
    // Nothing is polled while the clock goes on; then everything is ready at once.
    tokio::time::advance(ms(60_000)).await;
    resume.notify_one();
    assert_eq!(request.await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!stepped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_short_request_renews_nothing_and_a_long_one_every_third_of_its_lease() {
    let locks = Faulty::new(Fault::None);
    let service = guarded(&layer(&locks), |_| async {
        sleep(ms(3_000)).await;
        String::new()
    });
    for _ in 0..20 {
        send(&service, "a").await;
    }
    assert_eq!(locks.renewals.load(Ordering::SeqCst), 0);
    let service = guarded(&layer(&locks), |_| async {
        sleep(ms(34_000)).await;
        String::new()
    });
    send(&service, "a").await;
    assert_eq!(locks.renewals.load(Ordering::SeqCst), 10);
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_renews_every_lease_at_once() {
    let locks = Faulty::new(Fault::None);
    let held = locks.held();
    let tasks: Vec<_> = ["a", "b", "c"]
        .map(|key| {
            let service = hanging(&layer(&locks).with_lease(ms(3_600_000)).unwrap());
            tokio::spawn(async move { send(&service, key).await })
        })
        .into();
    eventually("all are held", async || held.names().len() == 3).await;
    locks.epochs.send_replace(1);
    eventually("all are renewed", async || {
        locks.renewals.load(Ordering::SeqCst) == 3
    })
    .await;
    tasks.iter().for_each(|task| task.abort());
}

#[tokio::test(start_paused = true)]
async fn leases_of_many_lengths_are_renewed_each_in_its_time() {
    let locks = Faulty::new(Fault::None);
    let tasks: Vec<_> = [60_000, 200, 1_000, 100]
        .into_iter()
        .enumerate()
        .map(|(number, lease)| {
            let layer = layer(&locks).with_lease(ms(lease)).unwrap();
            let service = guarded(&layer, |guard| async move {
                sleep(ms(5_000)).await;
                guard.check().is_ok().to_string()
            });
            tokio::spawn(async move { text(send(&service, &number.to_string()).await).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "true");
    }
}
