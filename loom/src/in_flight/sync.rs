//! What `src/in_flight/sync.rs` has for the tracker, of loom's making.

use loom::sync::atomic;
pub(crate) use loom::sync::atomic::Ordering::SeqCst;
use loom::sync::atomic::fence;
pub(crate) use loom::sync::{Mutex, MutexGuard};

pub(crate) use crate::notify::Notify;

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
