//! From a claim to a lock that lets go by itself.
//!
//! Floor 5.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::lock::backend::{Acquired, LockBackend};
use crate::lock::erased::ErasedBackend;
use crate::lock::error::LockError;
use crate::lock::held::{HeldLocks, UnderWay};
use crate::lock::holding::{Holding, until_done};
use crate::lock::lease::Claim;
use crate::lock::renew::renew_held;
use crate::lock::send_off::send_off;

/// A backend, and what is held through it.
#[derive(Clone)]
pub(crate) struct Manager {
    backend: Arc<dyn ErasedBackend>,
    held: HeldLocks,
}

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum NotHeld {
    Busy(Duration),
    QueueFull,
    Unavailable(LockError),
    Closed,
}

impl Manager {
    pub(crate) fn new(backend: impl LockBackend) -> Self {
        let held = backend.held();
        Self {
            backend: Arc::new(backend),
            held,
        }
    }

    pub(crate) fn held(&self) -> &HeldLocks {
        &self.held
    }

    /// Acquires. Dropped at any await, it leaves nothing behind: the claim is withdrawn.
    pub(crate) async fn acquire(
        &self,
        claim: Claim,
        wait: Option<Duration>,
    ) -> Result<Hold, NotHeld> {
        let Some(under_way) = self.held.begin() else {
            return Err(NotHeld::Closed);
        };
        let mut attempt = Attempt {
            manager: self,
            claim: Some(claim.clone()),
            under_way: Some(under_way),
            home: Handle::try_current().ok(),
        };
        let acquired = self.backend.clone().acquire(claim.clone(), wait);
        let acquired = tokio::select! {
            biased;
            acquired = acquired => acquired,
            () = self.held.closed() => return Err(NotHeld::Closed),
        };
        let lease = match acquired {
            Ok(Acquired::Granted(lease)) => lease,
            Ok(Acquired::Busy { retry_after }) => {
                attempt.claim = None;
                return Err(NotHeld::Busy(retry_after));
            }
            Ok(Acquired::QueueFull) => {
                attempt.claim = None;
                return Err(NotHeld::QueueFull);
            }
            Err(error) => {
                if !error.may_have_happened() {
                    attempt.claim = None;
                }
                return Err(NotHeld::Unavailable(error));
            }
        };
        let owner = claim.owner;
        let holding = Arc::new(Holding::new(
            claim,
            lease,
            self.backend.clone(),
            self.held.clone(),
            attempt.home.take(),
        ));
        let Ok(first) = self.held.add(owner, holding.clone()) else {
            return Err(NotHeld::Closed);
        };
        attempt.claim = None;
        if first {
            // Without a runtime no timers and no renewals: the lease ends as it was granted.
            match Handle::try_current() {
                Ok(here) => {
                    here.spawn(renew_held(self.held.clone(), self.backend.reconnects()));
                }
                Err(_) => self.held.renewals_ended(),
            }
        }
        Ok(Hold(holding))
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend: _, held } = self;
        f.debug_struct("Manager")
            .field("held", held)
            .finish_non_exhaustive()
    }
}

/// The right to a lock. There is one for each grant; dropping it lets go.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Holding>);

impl Hold {
    pub(crate) fn holding(&self) -> &Arc<Holding> {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Nobody waits for the outcome; a lock that is let go already stays so.
        let _ = self.0.let_go();
    }
}

/// An acquire under way; dropped with its claim, it takes the claim back.
struct Attempt<'a> {
    manager: &'a Manager,
    claim: Option<Claim>,
    under_way: Option<UnderWay>,
    home: Option<Handle>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let Some(claim) = self.claim.take() else {
            return;
        };
        let backend = self.manager.backend.clone();
        let mut under_way = self.under_way.take();
        send_off(
            self.home.as_ref(),
            until_done(claim.lease.get(), move || {
                let under_way = under_way.take();
                let answer = backend.clone().withdraw(claim.clone());
                Box::pin(async move {
                    let answer = answer.await;
                    drop(under_way);
                    answer
                })
            }),
        );
    }
}
