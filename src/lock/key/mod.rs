//! Where a request's lock key comes from.
//!
//! [`path`] and [`template`] fill the route's parameters into a text, [`query`] those of the
//! query string; [`header`] takes a header, [`session`] and [`user`] the verified session;
//! [`from_fn`] and [`from_async_fn`] run a closure on the request's head, and a
//! [`LockKey`](crate::lock::LockKey) by itself is one lock for the whole route.
//! [`and`](KeyFrom::and) locks the keys of two sources together.
//!
//! Whatever a request puts into a key is escaped, so that no two requests meet by punctuation,
//! and bounded, so that no request can make a key large. Keys are one space for the whole
//! application: `order:{id}` on two routes is the same lock for the same `id`, which is often
//! what is wanted, and the reason to begin each template with what it names.
//!
//! So a client that makes up keys, in a header, a query or a path, makes locks. In Redis each is a key
//! that stays for ten minutes at most after it was let go: 104 bytes by `MEMORY USAGE` under a name of a few
//! letters, 392 under the longest (Redis 7.0), and about 60 more in Redis's tables. A thousand a
//! second come to some 100 MB, or 270 MB. In memory nothing stays. Where that is too much, look at
//! what the key names, or limit the client, before the lock is asked for.
//!
//! A key is the lock's name in the backend, and stands in the log where the lock is lost. So what is
//! secret, as in a header `Authorization`, goes into one as a hash, by a closure.
//!
//! ```
//! use tower_handoff::lock::{LockKey, key};
//!
//! // Known only at run time: tenants are told apart by a header that the gateway sets.
//! let by_header = key::header(http::HeaderName::from_static("x-tenant"));
//! // Anything else: here the last segment of the path.
//! let by_closure = key::from_fn(|parts| {
//!     let name = parts.uri.path().rsplit('/').next().unwrap_or_default();
//!     Ok(LockKey::bounded(format!("file:{name}")))
//! });
//! ```
//!
//! Floor 3.

mod closure;
mod fixed;
mod header;
#[cfg(feature = "axum")]
mod path;
pub(crate) mod query;
mod session;
pub(crate) mod source;

pub use closure::{AsyncClosureKey, ClosureKey, from_async_fn, from_fn};
pub use header::{HeaderKey, header};
#[cfg(feature = "axum")]
pub use path::{PathKey, path, template};
pub use query::{QueryKey, query};
pub use session::{SessionKey, session, user};
pub use source::{Both, KeyFrom, KeyFuture, KeyResult};
