//! Sessions: what one request writes, the next one reads, on whatever instance it lands.
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use axum::{Router, routing::get};
//! use tower_handoff::session::{MemorySessions, Session, SessionCookie, SessionError, SessionLayer};
//!
//! async fn visits(session: Session) -> Result<String, SessionError> {
//!     Ok(format!("visit {}", session.increment("visits", 1).await?))
//! }
//!
//! let sessions = SessionLayer::new(MemorySessions::new())
//!     .with_cookie(SessionCookie::insecure_localhost()); // plain http, on this machine only
//! let app: Router = Router::new().route("/", get(visits)).layer(sessions);
//! # }
//! ```
//!
//! With `redis.sessions()` in place of `MemorySessions::new()` the sessions live in Redis.
//!
//! # What a session is
//! A browser holds a token: a public half, under which the session is stored, and a secret half,
//! of which the store holds only the SHA-256. Fields are opaque to the store, and a write touches
//! only the fields it names, so requests that run at the same time keep each other's writes.
//!
//! # What happens when
//! [`SessionLayer`] gives every request a [`Session`]. What the handler sets is written before the
//! response begins, so the next request sees it. If the session was destroyed, rotated or expired
//! while the handler ran, and the handler had looked at it, nothing is written and no cookie sent
//! ([`CommitOutcome::Gone`]): a logout is never undone by a slower request. A token that names no
//! session is never adopted: whoever writes under it gets a fresh session.
//!
//! # What comes late
//! A 503 of [`OutcomeUnknown`](SessionErrorKind::OutcomeUnknown) says that a write may have happened. What
//! is still on its way then counts until a command time-out after it was asked for, by Redis's clock as this
//! process knows it: two time-outs, one more where it was sent again, and as much more as that clock is set
//! back or a replica that takes over is behind. What reaches Redis later is refused there, so it neither comes
//! back over what was answered since, nor is done twice where somebody looked and asked again, nor shuts
//! anybody out who was let in, nor ends a session that began since. A logout ([`Session::destroy`]) is done
//! however late it comes: it ends what is under the same secret still, and so no session that was logged in or
//! rotated since. In memory nothing is on its way.
//!
//! # Whose a session is
//! [`Session::bind`] logs a user in; [`Users`] lists and ends the sessions of a user, from wherever
//! it is called.
//!
//! # Three ways to go on from there
//! - [`Key<T>`](Key) fixes the type of a field for all handlers; a string and JSON will do, too.
//!   A type that is a field is an argument of the handler: [`Section<T>`](Section).
//! - A handler that takes an `Option<Session>` is not failed by a store that is away
//!   ([`Session::optional`]); one that takes a `Session` answers 503 then.
//! - Streams, server-sent events and WebSockets go on after the response has begun, with a handle
//!   of their own ([`Session::detach`]).
//!
//! # What is written where
//! A cookie value begins with `1`, a stored record with the byte 1: their formats. What a newer
//! version wrote is unavailable (503) to this one, and never discarded or overwritten, so old and
//! new instances may run side by side.

mod candidates;
mod carry;
mod change;
mod commit;
pub(crate) mod commits;
#[cfg(feature = "testing")]
pub mod contract;
mod cookie;
mod core;
mod counted;
mod destroy;
mod detached;
mod edit;
pub(crate) mod error;
mod expiry;
#[cfg(feature = "axum")]
mod extract;
#[cfg(feature = "testing")]
mod faults;
mod fields;
pub mod from_tower_sessions;
mod future;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod fuzz;
pub(crate) mod handle;
mod head;
mod id;
mod key;
mod layer;
mod limits;
mod login;
mod memory;
mod optional;
mod options;
mod policy;
mod read;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod renewals;
mod rotation;
mod save;
mod section;
mod service;
mod state;
mod store;
mod take;
mod terms;
mod through;
mod token;
mod transport;
mod user_session;
mod users;
mod write;

pub use crate::codec::{Decode, Encode, Json, Raw};
pub use commit::CommitOutcome;
pub use commits::Commits;
pub use cookie::{SessionCookie, SessionSameSite};
pub use detached::{DetachedSession, SessionCommits};
pub use error::{SessionError, SessionErrorKind, SessionLayerMissing, StoreError, StoreErrorKind};
pub use expiry::SessionExpiry;
#[cfg(feature = "axum")]
pub use extract::SectionRejection;
#[cfg(feature = "testing")]
pub use faults::{Fault, FaultySessions};
pub use future::SessionFuture;
pub use handle::Session;
pub use id::{ParseSessionIdError, SessionId};
pub use key::{FieldFor, FieldName, FieldOf, Key};
pub use layer::SessionLayer;
pub use limits::SessionLimits;
pub use memory::MemorySessions;
pub use policy::Undecodable;
pub use record::{SessionRecord, Verdict};
#[cfg(feature = "redis")]
pub use redis::RedisSessions;
pub use save::{NewSession, Save, SaveOutcome, Saved};
pub use section::{Section, SectionValue, SessionSection};
pub use service::SessionService;
pub use store::SessionStore;
pub use token::VerifierHash;
pub use transport::SessionHeader;
pub use user_session::{Revoke, UserSession};
pub use users::Users;
