//! Run once: of all instances, at most one runs a job; the others skip it, or read its result.
//!
//! A job has a name and, for scheduled work, a slot: the tick that it belongs to. Instances whose
//! clocks differ still mean the same tick, so it is done once. Without a slot, a job is not run
//! again until some time after the end of its last successful run: with
//! [`with_wait`](Once::with_wait) that is a cache whose values one instance computes for all.
//!
//! ```
//! use std::time::Duration;
//! use tower_handoff::once::{Job, MemoryOnce, Once, Outcome};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let once = Once::new(MemoryOnce::new()); // with Redis: `redis.once()`
//!
//! let bill = Job::new("bill")?.with_slot("2026-11-21")?;
//! let outcome = once.run(&bill, |_| async { Ok::<_, std::io::Error>(17) }).await?;
//! assert_eq!(outcome, Outcome::Ran(17));
//!
//! // Any other instance, that day:
//! let outcome = once.run(&bill, |_| async { Ok::<_, std::io::Error>(0) }).await?;
//! assert_eq!(outcome, Outcome::Fresh(17));
//!
//! let rates = Job::new("exchange-rates")?.with_fresh_for(Duration::from_secs(60))?;
//! let cache = once.with_wait(Duration::from_secs(5))?;
//! let rates = cache.run(&rates, |_| async { Ok::<_, std::io::Error>(vec![1.07, 0.86]) }).await?;
//! assert_eq!(rates.into_value(), Some(vec![1.07, 0.86]));
//! # Ok(())
//! # }
//! ```
//!
//! # What it is worth
//! A job runs under a lock of [`lock`](crate::lock), and at most once for as long as leases hold.
//! An instance that is suspended past its lease, a Redis that loses its data or fails over, can
//! let a second one begin. The first one is stopped as soon as it runs again and its result is
//! not kept, but what it has done by then is done: let the resource check the
//! [`fence`](crate::lock::LockGuard::fence) where that matters. And a job that was cut off is run
//! again, so it is at least once where the slot is asked for again, not exactly once.
//!
//! A result that Redis evicts is lost, and the job runs again.

mod entry;
mod erased;
mod error;
mod job;
mod memory;
mod outcome;
#[cfg(feature = "redis")]
mod redis;
mod run;
mod sharing;
mod store;

pub use error::OnceError;
pub use job::Job;
pub use memory::MemoryOnce;
pub use outcome::{OnAway, Outcome};
#[cfg(feature = "redis")]
pub use redis::RedisOnce;
#[cfg(all(feature = "redis", feature = "testing"))]
#[doc(hidden)]
pub use redis::fuzz;
pub use run::Once;
pub use store::{Begun, Found, OnceStore};
