//! Key, then lock, or the reason to refuse.
//!
//! Floor 6.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::request::Parts;
use tokio::sync::Semaphore;

use crate::answer::Refusal;
use crate::lock::error::LockError;
use crate::lock::guard::LockGuard;
use crate::lock::manager::NotHeld;
use crate::lock::options::{OnMissingKey, OnUnavailable, Options};
use crate::lock::terms::Terms;
use crate::lock::unguarded::Hidden;
use crate::reason::Reason;
use crate::telemetry::names::LockUnguarded;

/// How a request may go on.
#[derive(Debug)]
pub(super) enum Admission {
    /// Under a lock: its own, or the one that a layer further out holds for the same key.
    Guarded(LockGuard),
    /// Without one: a policy lets it pass.
    Unguarded(Reason),
}

/// Finds the keys, and acquires those that no layer further out already holds.
///
/// Dropped at any await it leaves nothing behind: the manager withdraws what it claimed.
pub(super) fn admit(
    options: Arc<Options>,
    parts: &mut Parts,
) -> impl Future<Output = Result<Admission, Refusal>> + Send + use<> {
    let keys = options.keys(parts);
    let wait = options.wait(parts);
    let note = options.note(parts);
    let outer = parts.extensions.get::<LockGuard>();
    let hidden = || Some(&parts.extensions.get::<Hidden>()?.0);
    let outer = outer.or_else(hidden).cloned();
    async move {
        let keys = match keys.await {
            Ok(Some(keys)) => keys,
            Ok(None) => {
                return match options.missing {
                    OnMissingKey::Refuse => Err(refusal(Reason::LockKeyMissing)),
                    OnMissingKey::Pass => {
                        options.terms.meter.count(LockUnguarded::KeyMissing);
                        Ok(Admission::Unguarded(Reason::LockKeyMissing))
                    }
                };
            }
            Err(reason) => return Err(refusal(reason)),
        };
        let places = options.places.clone().filter(|_| wait.is_some());
        let place = places.map(Semaphore::try_acquire_owned);
        let shed = matches!(place, Some(Err(_)));
        let terms = Terms {
            wait: wait.filter(|_| !shed),
            note,
            ..options.terms.clone()
        };
        let acquired = options.manager.acquire(&keys, terms, outer).await;
        drop(place);
        match acquired {
            Ok(guard) => Ok(Admission::Guarded(guard)),
            Err(NotHeld::Busy(_)) if shed => Err(refusal(Reason::LockQueueFull)),
            Err(NotHeld::Busy(lease)) => {
                let base = options.manager.come_back(lease);
                Err(Refusal::new(Reason::LockBusy).retry_about(base))
            }
            Err(NotHeld::QueueFull) => Err(refusal(Reason::LockQueueFull)),
            Err(NotHeld::Closed) => Err(refusal(Reason::Draining)),
            Err(NotHeld::Unavailable(error)) => unavailable(&options, &error),
        }
    }
}

fn unavailable(options: &Options, error: &LockError) -> Result<Admission, Refusal> {
    let cause = error.source().map(ToString::to_string);
    if options.unavailable == OnUnavailable::Pass && error.may_pass() {
        options.passed.fetch_add(1, Ordering::Relaxed);
        options.terms.meter.count(LockUnguarded::Unavailable);
        tracing::debug!(%error, cause, "a request passed without its lock");
        return Ok(Admission::Unguarded(Reason::LockUnavailable));
    }
    // What lies with Redis as a whole is its own connection's to report, once.
    if error.is_refusal() && !is_reported(error) {
        tracing::warn!(%error, cause, "a request was refused for want of its lock");
    } else {
        tracing::debug!(%error, cause, "a request was refused for want of its lock");
    }
    Err(refusal(Reason::LockUnavailable))
}

fn is_reported(error: &LockError) -> bool {
    #[cfg(feature = "redis")]
    if let Some(cause) = error.source() {
        let cause = cause.downcast_ref::<crate::redis::error::RedisError>();
        return cause.is_some_and(crate::redis::error::RedisError::concerns_all);
    }
    #[cfg(not(feature = "redis"))]
    let _ = error;
    false
}

/// A refusal that says when to come back where it is worth coming back at all.
fn refusal(reason: Reason) -> Refusal {
    let refusal = Refusal::new(reason);
    if reason.status().is_client_error() || reason == Reason::LockLost {
        return refusal;
    }
    refusal.retry_about(Duration::from_secs(1))
}
