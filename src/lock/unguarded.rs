//! How a handler knows that it has no lock.
//!
//! Floor 5.

use crate::lock::guard::LockGuard;
use crate::reason::Reason;

/// In the extensions of a request that a [`LockLayer`](crate::lock::LockLayer) let pass without
/// its lock, because a policy says so.
///
/// Such a request has no [`LockGuard`], also where a layer further out holds another lock: a guard
/// is always that of the innermost layer. Where a layer further in locks after all, both are there.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # mod example {
/// use axum::extract::Extension;
/// use tower_handoff::Reason;
/// use tower_handoff::lock::{LockGuard, Unguarded};
///
/// async fn pay(lock: Option<LockGuard>, open: Option<Extension<Unguarded>>) -> &'static str {
///     match (lock, open) {
///         (Some(_), _) => "paid",
///         // With `OnUnavailable::Pass`, while Redis is away.
///         (None, Some(Extension(open))) if open.reason == Reason::LockUnavailable => "noted, to be checked",
///         (None, _) => "not asked to lock",
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unguarded {
    /// Why: [`LockUnavailable`](Reason::LockUnavailable) or
    /// [`LockKeyMissing`](Reason::LockKeyMissing).
    pub reason: Reason,
}

/// The guard of a layer further out than one that let the request pass: for layers further in.
#[derive(Clone)]
pub(crate) struct Hidden(pub(crate) LockGuard);
