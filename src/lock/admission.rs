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
use crate::lock::holding::Holding;
use crate::lock::lease::Claim;
use crate::lock::manager::{Hold, NotHeld};
use crate::lock::options::{OnMissingKey, Options};
use crate::reason::Reason;

/// How a request may go on.
#[derive(Debug)]
pub(super) enum Admission {
    /// Under a lock of its own.
    Held(Hold),
    /// Under the lock that a layer further out holds for the same key.
    Within(Arc<Holding>),
    /// It has no key, and the policy lets it pass.
    Unguarded,
}

/// The longest wait that a busy answer suggests. A lease is what a crash costs, not how long
/// a request holds the lock, so it says little about when to come back.
const COME_BACK: Duration = Duration::from_secs(2);

/// Finds the key, and acquires it unless a layer further out already holds it.
///
/// Dropped at any await it leaves nothing behind: the manager withdraws what it claimed.
pub(super) fn admit(
    options: Arc<Options>,
    parts: &mut Parts,
) -> impl Future<Output = Result<Admission, Refusal>> + Send + use<> {
    let key = options.key(parts);
    let wait = options.wait(parts);
    let outer = parts.extensions.get::<LockGuard>().cloned();
    async move {
        let key = match key.await {
            Ok(Some(key)) => key,
            Ok(None) => {
                return match options.missing {
                    OnMissingKey::Refuse => Err(refusal(Reason::LockKeyMissing)),
                    OnMissingKey::Pass => Ok(Admission::Unguarded),
                };
            }
            Err(reason) => return Err(refusal(reason)),
        };
        let held = options.manager.held();
        if let Some(holding) = outer.and_then(|outer| outer.find(held, &key).cloned()) {
            return Ok(Admission::Within(holding));
        }
        let claim = Claim::new(key, options.lease);
        match options.manager.acquire(claim, wait).await {
            Ok(hold) => Ok(Admission::Held(hold)),
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
