//! Locks on a route: one request at a time for each key, over all instances.
//!
//! [`LockLayer`] derives a key from the request, takes a lease on it, runs the handler with a
//! [`LockGuard`], and lets go: when the answer's head is ready, at the end of a streaming body,
//! or when the request ends in any other way. Those who wait are served first come, first
//! served, each woken by the release before it; instances take turns, a few requests each.
//!
//! ```
//! use axum::{Router, routing::post};
//! use tower_handoff::lock::{LockGuard, LockLayer, MemoryLocks, key};
//!
//! async fn pay(lock: LockGuard) -> String {
//!     format!("paid under {}", lock.fence())
//! }
//!
//! let locks = MemoryLocks::new(); // with Redis: `redis.locks()`
//! let app: Router = Router::new().route(
//!     "/orders/{id}/pay",
//!     post(pay).layer(LockLayer::new(locks, key::path("order:{id}"))),
//! );
//! ```
//!
//! [`Locks`] is the same for code that is no request, [`LockGuard::into_owned`] for work that goes on
//! after the answer, and [`KeyFrom::and`](key::KeyFrom::and) for requests that need several keys.
//!
//! # What a lock is worth
//! A lease ends, and a process can be suspended past its end; one Redis with asynchronous
//! replication can lose a lock in a failover. So this is a lock for efficiency: it makes double
//! work rare. Where double work must be impossible, let the resource check the
//! [`fence`](LockGuard::fence): the number grows with every grant, and the resource refuses a
//! number smaller than the largest it has seen.
//!
//! Redis must not evict locks: `maxmemory-policy noeviction`, or a volatile policy with room to
//! spare. An evicted lock is a lost one; its holder learns of it at its next renewal.
//!
//! # Seen from outside
//! [`telemetry`](crate::telemetry) has the metrics, [`Locks::inspect`] tells who holds a key, and each
//! claim on a key is a [`tracing`] span, `lock.acquire`, level debug, target `tower_handoff::lock`: of
//! [`LockLayer`], [`Locks`] and [`Once`](crate::once::Once) alike, one after the other for several keys,
//! none for a key that a layer further out holds. It costs nothing where no subscriber wants it.
//!
//! | field | of | what |
//! | --- | --- | --- |
//! | `lock` | all | the name, as in the metrics |
//! | `key_hash` | all | the first 16 hexadecimal digits of the key's SHA-256, as keys can come from sessions and headers (what can be guessed is found by trying): `printf %s 'order:7' \| sha256sum \| head -c 16` |
//! | `wait_ms` | all, at the end | from claim to outcome, round trip included |
//! | `outcome` | all, at the end | `acquired`, `busy`, `queue_full`, `unavailable`, `draining`; `dropped` where whoever asked did not wait for it |
//! | `fence` | `acquired` | the number of the [`fence`](LockGuard::fence) |
//! | `path` | `acquired` | how it came: `free`, `local`, `queued`, as in [`GrantPath`] |
//!
//! In it is one event, `waits in line`, where the claim has to. What is recorded at the end a subscriber
//! shows where it shows the ends of spans, as `tracing_subscriber::fmt` does with `FmtSpan::CLOSE`. Of a lock
//! that is lost the log tells the fence as well.
//!
//! # Cancel safety
//! A request may be dropped at any await. What it claimed is withdrawn, what it held is let go,
//! within a round trip. A process that dies leaves its locks to their leases.

mod acquisition;
mod admission;
pub(crate) mod backend;
mod body;
#[cfg(feature = "redis")]
mod cohort;
#[cfg(feature = "testing")]
pub mod contract;
mod due;
pub(crate) mod erased;
pub(crate) mod error;
pub(crate) mod escape;
#[cfg(feature = "axum")]
mod extract;
mod few;
mod future;
pub(crate) mod grant_path;
pub(crate) mod guard;
mod held;
mod hold;
mod hold_time;
pub(crate) mod holder;
mod holding;
pub mod key;
mod layer;
pub(crate) mod lease;
pub(crate) mod lock_key;
pub(crate) mod lock_keys;
mod locks;
pub(crate) mod loss;
pub(crate) mod manager;
pub(crate) mod memory;
pub(crate) mod note;
pub(crate) mod on_lost;
mod options;
mod outcome;
pub(crate) mod owned;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod renew;
mod send_off;
mod service;
mod sync;
mod template;
#[cfg(feature = "redis")]
mod tenure;
pub(crate) mod terms;
mod unguarded;

pub use backend::{Acquired, LockBackend, Released, Renewed};
pub use body::LockBody;
pub use error::{LockError, LockErrorKind};
#[cfg(feature = "axum")]
pub use extract::MissingLockGuard;
pub use future::LockFuture;
pub use grant_path::GrantPath;
pub use guard::LockGuard;
pub use held::HeldLocks;
pub use holder::Holder;
pub use layer::LockLayer;
pub use lease::{Claim, Fence, Lease, LeaseTime, Owner};
pub use lock_key::LockKey;
pub use lock_keys::LockKeys;
pub use locks::Locks;
pub use memory::MemoryLocks;
pub use note::Note;
pub use on_lost::OnLost;
pub use options::{OnMissingKey, OnUnavailable};
pub use outcome::ReleaseOutcome;
pub use owned::OwnedLock;
#[cfg(feature = "redis")]
pub use redis::RedisLocks;
#[cfg(all(feature = "redis", feature = "testing"))]
#[doc(hidden)]
pub use redis::fuzz;
pub use service::LockService;
pub use unguarded::Unguarded;
