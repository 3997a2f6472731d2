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
//! It speaks RESP3, so it needs Redis 6.2 or later, or Valkey. A user with restricted rights needs
//! `HELLO`, `PING`, `TIME` and `CLIENT SETINFO` for the connection itself, on top of what sessions
//! and locks use.

mod away;
mod backoff;
mod batch;
mod builder;
mod clock;
mod connect;
mod dial;
pub(crate) mod error;
mod failure;
mod flight;
pub(crate) mod handle;
pub(crate) mod inbox;
mod intake;
pub(crate) mod keyspace;
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
