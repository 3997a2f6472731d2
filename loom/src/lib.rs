//! Every interleaving of what threads of tower-handoff meet at, tried by loom: the library's own
//! files, on loom's atomics and locks.
//!
//! - `in_flight`: the tracker of requests in flight and a drain.
//! - `lifecycle::phases`: the phase, who moves it on, and who waits for that: all of it the library's.
//! - `lock::redis::line`: the line of one process for one key, and another process that wants it.
//!   `cohort.rs`, `cohorts.rs` and all that they say are the library's. Who asks, waits and drives is
//!   told anew here, as `turn.rs` and `drive.rs` do it: those await a connection. So what is proven is
//!   that no thread's wake-up is lost and that nobody is left without one who asks; that no *order of
//!   events* is wrong, Redis's, time's and a rival's among them, is what the explorer beside `cohorts.rs`
//!   goes through.
//! - `lock::renewing`: who sees to renewals where a runtime ends. `renew.rs` is the library's, the list
//!   of held locks and the runtimes are models.
//!
//! ```text
//! cargo test --manifest-path loom/Cargo.toml
//! ```

#![allow(dead_code, reason = "a model does not use all of what it models")]

#[cfg(test)]
mod in_flight;
#[cfg(not(test))]
mod library;
mod notify;
#[cfg(not(test))]
mod oneshot;

// What is the library's has tests of its own, which are none for loom: so it is built without them,
// and its models run from `tests/`.
#[cfg(not(test))]
use library::{BoxError, config, random, telemetry};
#[cfg(not(test))]
pub use library::{lifecycle, lock};

/// Every way in which `work` can go with up to three switches at places of the scheduler's choice.
pub(crate) fn explore(work: impl Fn() + Send + Sync + 'static) {
    explore_with(3, work);
}

/// With up to so many. That a thread waits or ends is no switch.
pub(crate) fn explore_with(switches: usize, work: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound.get_or_insert(switches);
    model.check(work);
}
