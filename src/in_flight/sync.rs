//! What threads share and meet at. The tracker takes it from here, so that its model can give it
//! something else.
//!
//! Floor 0.

use std::cell::Cell;

pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use tokio::sync::Notify;

/// A number that belongs to this thread, handed out in turn.
#[inline]
pub(crate) fn own_number() -> usize {
    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(NONE_YET) };
    }
    OWN.with(|own| {
        if own.get() == NONE_YET {
            own.set(next_number());
        }
        own.get()
    })
}

const NONE_YET: usize = usize::MAX;

#[cold]
fn next_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, SeqCst)
}
