//! What the lifecycle does with the connection: its health, its locks, its end.
//!
//! Floor 5.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::error::BoxError;
use crate::health::policy::{CheckClass, CheckPolicy};
use crate::lifecycle::check::{BoxFuture, HealthCheck};
use crate::lifecycle::managed::Managed;
use crate::redis::handle::RedisHandle;
use crate::redis::status::RedisStatus;
use crate::session::commits::Commits;

/// Released at the flush: every lock that is held through this handle, so that the next
/// instance need not wait for leases. Waited for: log-outs and commits that the sessions of this
/// handle have under way though no request does any more. Closed at the end: the connection, after what was posted
/// to it is out.
///
/// Its check, `redis`, is required until it has passed once: a fresh instance that cannot reach
/// Redis takes no traffic, but when Redis goes away the whole fleet must not leave the load
/// balancer, for its other routes still work. Of a Cluster one master that answers is enough to pass
/// the first time, so that instances can be replaced while another is away; from then on the check says
/// which one is; as it says, too, what [`RedisHandle::warning`] says of a Redis that is up.
impl Managed for RedisHandle {
    fn name(&self) -> &str {
        NAME
    }

    fn health_check(&self) -> Option<Arc<dyn HealthCheck>> {
        Some(Arc::new(RedisCheck {
            handle: self.clone(),
            passed: AtomicBool::new(false),
        }))
    }

    /// From here on no lock is granted: who stands in line is refused while there is time for an answer
    /// (503), and so is who comes now, though the key be free; who holds one keeps it.
    fn drain_ends_soon(&self) {
        self.locks().held().close();
    }

    /// # Cancel safety
    /// Dropped, it stops waiting; the releases and commits go on while the process lives and the
    /// connection is open, and the leases end what is left of the locks.
    fn flush(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async {
            let (locks, commits) = (self.locks(), self.slot::<Commits>());
            let held = locks.held();
            tokio::join!(held.release_all(), commits.flush());
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(RedisHandle::close(self))
    }
}

const NAME: &str = "redis";

/// One PING a second; none reaches the network while Redis is known to be away.
#[derive(Debug)]
struct RedisCheck {
    handle: RedisHandle,
    passed: AtomicBool,
}

impl HealthCheck for RedisCheck {
    fn name(&self) -> &str {
        NAME
    }

    fn class(&self) -> CheckClass {
        CheckClass::RequiredUntilFirstPass
    }

    /// The supervisor has already judged whether a silence is a blip, so one result counts
    /// almost at once.
    fn policy(&self) -> CheckPolicy {
        CheckPolicy::default()
            .interval(Duration::from_secs(1))
            .retry(Duration::from_millis(200))
            .fail_after(2)
            .pass_after(1)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async {
            let pinged = self.handle.ping().await;
            let outcome = pinged.map_err(|error| match self.handle.status() {
                RedisStatus::Up => error.to_string(),
                // What somebody can act on, in place of "away".
                RedisStatus::Away { cause, reason } => format!("{cause:?}: {reason}"),
            });
            if let Err(reason) = outcome {
                if self.passed.load(Relaxed) || !self.handle.serves_some().await {
                    return Err(reason.into());
                }
                tracing::warn!(reason, "ready, though a part of the Redis Cluster is away");
            }
            // Who has never passed can serve what Redis still serves.
            match self.handle.warning() {
                Some(warning) if self.passed.swap(true, Relaxed) => Err(warning.into()),
                _ => {
                    self.passed.store(true, Relaxed);
                    Ok(())
                }
            }
        })
    }
}
