//! Key, then lock, or the reason to refuse.
//!
//! Floor 6.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use crate::answer::Refusal;
use crate::lock::guard::LockGuard;
use crate::lock::manager::NotHeld;
use crate::lock::options::{OnMissingKey, Options};
use crate::lock::terms::Terms;
use crate::reason::Reason;

/// How a request may go on.
#[derive(Debug)]
pub(super) enum Admission {
    /// Under a lock: its own, or the one that a layer further out holds for the same key.
    Guarded(LockGuard),
    /// It has no key, and the policy lets it pass.
    Unguarded,
}

/// The longest wait that a busy answer suggests. A lease is what a crash costs, not how long
/// a request holds the lock, so it says little about when to come back.
const COME_BACK: Duration = Duration::from_secs(2);

/// Finds the keys, and acquires those that no layer further out already holds.
///
/// Dropped at any await it leaves nothing behind: the manager withdraws what it claimed.
pub(super) fn admit(
    options: Arc<Options>,
    parts: &mut Parts,
) -> impl Future<Output = Result<Admission, Refusal>> + Send + use<> {
    let keys = options.keys(parts);
    let wait = options.wait(parts);
    let outer = parts.extensions.get::<LockGuard>().cloned();
    async move {
        let keys = match keys.await {
            Ok(Some(keys)) => keys,
            Ok(None) => {
                return match options.missing {
                    OnMissingKey::Refuse => Err(refusal(Reason::LockKeyMissing)),
                    OnMissingKey::Pass => Ok(Admission::Unguarded),
                };
            }
            Err(reason) => return Err(refusal(reason)),
        };
        let terms = Terms {
            wait,
            ..options.terms
        };
        match options.manager.acquire(&keys, terms, outer).await {
            Ok(guard) => Ok(Admission::Guarded(guard)),
            Err(NotHeld::Busy(lease)) => {
                Err(Refusal::new(Reason::LockBusy).retry_about(lease.min(COME_BACK)))
            }
            Err(NotHeld::QueueFull) => Err(refusal(Reason::LockQueueFull)),
            Err(NotHeld::Closed) => Err(refusal(Reason::Draining)),
            Err(NotHeld::Unavailable(error)) => {
                let cause = error.source().map(ToString::to_string);
                // An outage is its own connection's to report, once. This is not one.
                if error.is_refusal() {
                    tracing::warn!(%error, cause, "a request was refused for want of its lock");
                } else {
                    tracing::debug!(%error, cause, "a request was refused for want of its lock");
                }
                Err(refusal(Reason::LockUnavailable))
            }
        }
    }
}

/// A refusal that says when to come back where it is worth coming back at all.
fn refusal(reason: Reason) -> Refusal {
    let refusal = Refusal::new(reason);
    if reason.status().is_client_error() || reason == Reason::LockLost {
        return refusal;
    }
    refusal.retry_about(Duration::from_secs(1))
}
