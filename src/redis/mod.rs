//! One supervised connection to Redis, shared by sessions and locks.
//!
//! A [`RedisHandle`] is made once, never waits for Redis, and is cloned wherever it is needed:
//!
//! ```
//! use tower_handoff::redis::{RedisErrorKind, RedisHandle};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_handoff::ConfigError> {
//! let redis = RedisHandle::connect("redis://127.0.0.1:1")?; // nobody is there
//! let error = redis.ping().await.unwrap_err(); // said at once, and nothing was sent
//! assert_eq!(error.kind(), RedisErrorKind::Away);
//! assert!(!redis.status().is_up());
//! # Ok(())
//! # }
//! ```
//!
//! What the supervision promises:
//!
//! - **Time-outs.** No command waits longer than the command time-out, whatever Redis or the
//!   network does. One that was sent and not answered fails with
//!   [`Unknown`](RedisErrorKind::Unknown), because it may have been carried out; nothing is ever
//!   sent twice. A reply that came while this process itself stood still counts.
//! - **Replacement.** A connection that ends is replaced at once. One that left a command
//!   unanswered, and then stays silent for half a time-out more, is replaced too: a router that
//!   forgot the connection sends no error.
//! - **Breaker.** While Redis is away, commands fail with [`Away`](RedisErrorKind::Away) at once
//!   and reach no socket. A new connection is tried at least every 500 ms, with jitter, for
//!   ever, and counts once Redis answers on it: a server that still loads its data is away.
//! - **Gathering.** Commands that become ready together leave as one write and are answered
//!   one by one; the error of one is its own caller's alone. A lone command leaves as itself.
//! - **Cancelling.** A caller may drop its future at any time. What was queued goes out all the
//!   same, and nobody else notices.
//! - **Order.** Commands are carried out in the order in which they were queued, but for a script
//!   that Redis does not know yet: it is sent again, behind what was sent meanwhile.
//!
//! # What Redis may answer
//!
//! | Redis | commands | [`RedisStatus`] |
//! | --- | --- | --- |
//! | loads its data (`LOADING`), is a replica without a master (`MASTERDOWN`) | [`Away`](RedisErrorKind::Away) | away, [`NotReady`](AwayCause::NotReady) |
//! | is a replica, from the start or since a fail-over (`READONLY`) | [`Away`](RedisErrorKind::Away) | away, [`ReadOnly`](AwayCause::ReadOnly); the host name is looked up again for every attempt |
//! | refuses the login (`NOAUTH`, `WRONGPASS`), or `PING` or `TIME` (`NOPERM`) | [`Away`](RedisErrorKind::Away) | away, [`Login`](AwayCause::Login) |
//! | is not the one of its certificate, or refuses ours | [`Away`](RedisErrorKind::Away) | away, [`Tls`](AwayCause::Tls) |
//! | is older than 6.2, or speaks no RESP3 | [`Away`](RedisErrorKind::Away) | away, [`Unsupported`](AwayCause::Unsupported) |
//! | has no memory left (`OOM`), too few replicas (`NOREPLICAS`), cannot write its snapshots (`MISCONF`) | reads are served, writes and locks [`Refused`](RedisErrorKind::Refused) | up, on the same connection |
//! | refuses a command or a key to this user (`NOPERM`) | this one [`Refused`](RedisErrorKind::Refused), Redis's text names it | up |
//!
//! Each change of the state or its cause is logged once, at `WARN`, also where Redis is never
//! reached. The first [connection](RedisHandle::connect) and every later one warn, and go on, where
//! `maxmemory-policy` may evict locks and sessions, and where the user may not publish to
//! `{prefix}:inbox1:*`, so that requests that wait for a lock cannot be woken.
//!
//! # What it needs
//! RESP3, so Redis 6.2 or later, or Valkey; a master, and no Cluster. A user with restricted rights
//! needs `PING` and `TIME` for the connection itself, on top of what sessions and locks use. With
//! `INFO` it is told about eviction. A connection begins with two round trips: the login, then
//! `HELLO`, `PING`, `TIME`, `INFO memory` and an empty `PUBLISH` as one pipeline.

mod away;
mod backoff;
mod batch;
mod builder;
mod clock;
#[cfg(feature = "cluster")]
mod cluster;
mod connect;
mod dial;
pub(crate) mod error;
mod failure;
mod flight;
pub(crate) mod handle;
pub(crate) mod inbox;
mod intake;
pub(crate) mod keyspace;
mod link;
mod mailbox;
mod managed;
mod probe;
mod queue;
pub(crate) mod script;
mod shared;
mod slots;
pub(crate) mod status;
mod supervisor;
#[cfg(feature = "tls-rustls")]
mod tls;
mod url;
mod way;
#[cfg(feature = "testing")]
mod wire;

pub use away::AwayCause;
pub use builder::RedisBuilder;
pub use error::{RedisError, RedisErrorKind};
pub use handle::RedisHandle;
pub use status::RedisStatus;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use wire::Wire;
