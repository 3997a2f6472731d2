//! The library's files, where they expect one another to be.

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[path = "../../src/config.rs"]
pub(crate) mod config;

pub(crate) mod random {
    pub(crate) fn bytes<const N: usize>() -> [u8; N] {
        unreachable!("a model that depends on chance explores nothing")
    }
}

#[path = "../../src/telemetry"]
pub(crate) mod telemetry {
    pub(crate) mod lock_meter;
    pub(crate) mod names;
    mod shape;
}

#[path = "../../src/lifecycle"]
pub mod lifecycle {
    mod close_at_drain;
    mod phase;
    mod until_drain;
    mod watch;

    #[path = "../../loom/src/phases.rs"]
    pub mod phases;

    mod finish {
        pub(crate) mod time;
    }

    mod sync {
        pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};

        pub(crate) use crate::notify::{Notified, Notify};
    }
}

#[path = "../../src/lock"]
pub mod lock {
    mod cohort;
    mod error;
    mod grant_path;
    mod lease;
    mod note;
    mod renew;
    mod tenure;

    #[path = "../../loom/src/held.rs"]
    mod held;
    #[path = "../../loom/src/renewing.rs"]
    pub mod renewing;

    mod lock_key {
        /// Compared and looked up, and no more.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct LockKey(pub(crate) &'static str);
    }

    mod sync {
        pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
        pub(crate) use loom::sync::{Mutex, MutexGuard};

        pub(crate) use crate::notify::{Notified, Notify};
        pub(crate) use crate::oneshot;
    }

    pub mod redis {
        mod cohorts;

        #[path = "../../../loom/src/line.rs"]
        pub mod line;

        mod reply {
            #[derive(Debug, Clone, Copy)]
            pub(crate) struct Ran;
        }

        mod waiters {
            /// An ear: here the line's task hears whoever has a word for it.
            #[derive(Debug)]
            pub(crate) struct Waiting;
        }
    }
}
