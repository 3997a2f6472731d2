//! A store on a stage: its operations wait for their cue, stop at every step, or go by a wrong clock.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::sync::Semaphore;
use tower_handoff::session::{
    NewSession, Revoke, Save, SaveOutcome, SessionId, SessionRecord, SessionStore, StoreError,
    UserSession, VerifierHash,
};

use crate::support::eventually::eventually;

/// What is asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Load,
    Create,
    Save,
    Renew,
    Destroy,
    List,
    Revoke,
}

/// Wraps a store; the clones are one stage.
#[derive(Clone)]
pub(super) struct Staged<S> {
    inner: S,
    stage: Arc<Stage>,
}

struct Stage {
    held: Mutex<Option<Op>>,
    cue: Semaphore,
    waiting: AtomicUsize,
    done: AtomicUsize,
    steps: AtomicBool,
    ahead_ms: AtomicI64,
}

impl<S> Staged<S> {
    pub(super) fn new(inner: S) -> Self {
        let stage = Arc::new(Stage {
            held: Mutex::default(),
            cue: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            steps: AtomicBool::new(false),
            ahead_ms: AtomicI64::new(0),
        });
        Self { inner, stage }
    }

    /// From now on operations of this kind wait for their cue.
    pub(super) fn hold(&self, op: Op) {
        *self.stage.held.lock().unwrap() = Some(op);
    }

    /// Waits until one operation is held.
    pub(super) async fn held(&self) {
        let waiting = &self.stage.waiting;
        eventually("an operation waits", async || {
            waiting.load(Ordering::SeqCst) > 0
        })
        .await;
    }

    /// Lets one held operation go on.
    pub(super) fn cue(&self) {
        self.stage.cue.add_permits(1);
    }

    /// Lets the held operation go on, waits for its end, and holds none any more.
    pub(super) async fn play(&self) {
        *self.stage.held.lock().unwrap() = None;
        let before = self.stage.done.load(Ordering::SeqCst);
        self.cue();
        let done = &self.stage.done;
        eventually("the held operation ends", async || {
            done.load(Ordering::SeqCst) > before
        })
        .await;
    }

    /// From now on every operation is pending once before it begins and once after its end.
    pub(super) fn step(&self, steps: bool) {
        self.stage.steps.store(steps, Ordering::SeqCst);
    }

    /// The clock that is shown is ahead of the store's own by so much.
    pub(super) fn ahead(&self, ms: i64) {
        self.stage.ahead_ms.store(ms, Ordering::SeqCst);
    }

    async fn run<T>(&self, op: Op, operation: impl Future<Output = T>) -> T {
        let held = *self.stage.held.lock().unwrap() == Some(op);
        if held {
            self.stage.waiting.fetch_add(1, Ordering::SeqCst);
            self.stage.cue.acquire().await.unwrap().forget();
            self.stage.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        if self.stage.steps.load(Ordering::SeqCst) {
            pending_once().await;
        }
        let result = operation.await;
        if self.stage.steps.load(Ordering::SeqCst) {
            pending_once().await;
        }
        if held {
            self.stage.done.fetch_add(1, Ordering::SeqCst);
        }
        result
    }
}

/// Lets whoever polls count, or stop here for good.
pub(super) async fn pending_once() {
    let mut polled = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Ends a future the `after`th time that it has nothing to do but wait; `None` where it came so far.
pub(super) async fn cancelled<F: Future>(future: F, after: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = after;
    let output = std::future::poll_fn(move |cx: &mut Context<'_>| {
        let polled = future.as_mut().poll(cx);
        match polled {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => {
                left -= 1;
                Poll::Pending
            }
        }
    });
    output.await
}

impl<S: SessionStore> SessionStore for Staged<S> {
    fn now_ms(&self) -> u64 {
        let ahead_ms = self.stage.ahead_ms.load(Ordering::SeqCst);
        self.inner.now_ms().saturating_add_signed(ahead_ms)
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        self.run(Op::Load, self.inner.load(id)).await
    }

    async fn create(&self, id: &SessionId, new: &NewSession<'_>) -> Result<bool, StoreError> {
        self.run(Op::Create, self.inner.create(id, new)).await
    }

    async fn save(&self, id: &SessionId, save: &Save<'_>) -> Result<SaveOutcome, StoreError> {
        self.run(Op::Save, self.inner.save(id, save)).await
    }

    async fn renew(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        self.run(Op::Renew, self.inner.renew(id, verifier)).await
    }

    async fn destroy(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        self.run(Op::Destroy, self.inner.destroy(id, verifier))
            .await
    }

    async fn sessions_of(&self, user: &str) -> Result<Vec<UserSession>, StoreError> {
        self.run(Op::List, self.inner.sessions_of(user)).await
    }

    async fn revoke(&self, user: &str, which: Revoke) -> Result<u64, StoreError> {
        self.run(Op::Revoke, self.inner.revoke(user, which)).await
    }
}
