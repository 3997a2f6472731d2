//! What `src/in_flight/sync.rs` has for the tracker, of loom's making.

use std::future::Future;
use std::pin::Pin;
use std::sync::LockResult;
use std::task::{Context, Poll, Waker};

use loom::sync::atomic;
pub(crate) use loom::sync::atomic::Ordering::SeqCst;
use loom::sync::atomic::fence;
pub(crate) use loom::sync::{Mutex, MutexGuard};

/// loom takes a `SeqCst` access for one that acquires and releases. Fences it knows in full, and
/// one on either side of every access makes the same single order of all of them.
macro_rules! sequential {
    ($name:ident, $loom:ty, $value:ty) => {
        pub(crate) struct $name($loom);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(<$loom>::new(value))
            }

            pub(crate) fn load(&self, _: atomic::Ordering) -> $value {
                fence(SeqCst);
                let value = self.0.load(SeqCst);
                fence(SeqCst);
                value
            }

            pub(crate) fn fetch_add(&self, value: $value, _: atomic::Ordering) -> $value {
                fence(SeqCst);
                let before = self.0.fetch_add(value, SeqCst);
                fence(SeqCst);
                before
            }

            pub(crate) fn fetch_sub(&self, value: $value, _: atomic::Ordering) -> $value {
                fence(SeqCst);
                let before = self.0.fetch_sub(value, SeqCst);
                fence(SeqCst);
                before
            }
        }
    };
}

sequential!(AtomicU64, atomic::AtomicU64, u64);
sequential!(AtomicUsize, atomic::AtomicUsize, usize);

/// What the tracker uses of tokio's, which has a model of its own: whoever has enabled itself
/// hears the next call.
pub(crate) struct Notify(Mutex<State>);

#[derive(Default)]
struct State {
    calls: usize,
    wakers: Vec<Waker>,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::default()))
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        Notified {
            notify: self,
            calls: None,
        }
    }

    pub(crate) fn notify_waiters(&self) {
        let mut state = unpoisoned(self.0.lock());
        state.calls += 1;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

fn unpoisoned<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(|error| error.into_inner())
}

pub(crate) struct Notified<'a> {
    notify: &'a Notify,
    /// How many calls there had been when it was enabled.
    calls: Option<usize>,
}

impl Notified<'_> {
    pub(crate) fn enable(mut self: Pin<&mut Self>) -> bool {
        let calls = unpoisoned(self.notify.0.lock()).calls;
        *self.calls.get_or_insert(calls) < calls
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let notify = self.notify;
        let mut state = unpoisoned(notify.0.lock());
        let calls = state.calls;
        if *self.calls.get_or_insert(calls) < calls {
            return Poll::Ready(());
        }
        state.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}

loom::thread_local! {
    static OWN: std::cell::Cell<usize> = std::cell::Cell::new(0);
}

/// Which shard this thread counts in from now on.
pub(crate) fn use_number(number: usize) {
    OWN.with(|own| own.set(number));
}

pub(crate) fn own_number() -> usize {
    OWN.with(std::cell::Cell::get)
}
