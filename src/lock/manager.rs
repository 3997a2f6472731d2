//! From a claim to a lock that lets go by itself.
//!
//! Floor 5.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::Instrument;

use crate::lock::acquisition::Acquisition;
use crate::lock::backend::{Acquired, LockBackend};
use crate::lock::erased::ErasedBackend;
use crate::lock::error::{LockError, LockErrorKind};
use crate::lock::few::Few;
use crate::lock::guard::LockGuard;
use crate::lock::held::HeldLocks;
use crate::lock::held::under_way::UnderWay;
use crate::lock::hold::Hold;
use crate::lock::hold_time::HoldTime;
use crate::lock::holder::Holder;
use crate::lock::holding::Holding;
use crate::lock::lease::{Claim, Lease, Owner, end_of};
use crate::lock::lock_key::LockKey;
use crate::lock::lock_keys::LockKeys;
use crate::lock::renew::renew_held;
use crate::lock::send_off::{send_off, until_done};
use crate::lock::terms::Terms;
use crate::telemetry::names::LockAcquires;

/// A backend, and what is held through it.
#[derive(Clone)]
pub(crate) struct Manager {
    backend: Arc<dyn ErasedBackend>,
    held: HeldLocks,
    times: Arc<Mutex<HoldTime>>,
}

/// How many grants of one acquisition may come too late to use.
const MOST_LATE: usize = 3;

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum NotHeld {
    Busy(Duration),
    QueueFull,
    Unavailable(LockError),
    Closed,
}

impl NotHeld {
    fn counted(&self) -> LockAcquires {
        match self {
            Self::Busy(_) => LockAcquires::Busy,
            Self::QueueFull => LockAcquires::QueueFull,
            Self::Unavailable(_) => LockAcquires::Unavailable,
            Self::Closed => LockAcquires::Draining,
        }
    }
}

impl From<NotHeld> for LockError {
    fn from(why: NotHeld) -> Self {
        match why {
            NotHeld::Busy(left) => Self::busy(left),
            NotHeld::QueueFull => Self::of(LockErrorKind::QueueFull),
            NotHeld::Closed => Self::of(LockErrorKind::Closed),
            NotHeld::Unavailable(error) => error,
        }
    }
}

impl Manager {
    pub(crate) fn new(backend: impl LockBackend) -> Self {
        let held = backend.held();
        Self {
            backend: Arc::new(backend),
            held,
            times: Arc::default(),
        }
    }

    /// Whether a shutdown has begun, so that nothing more is taken.
    pub(crate) fn is_closed(&self) -> bool {
        self.held.is_closed()
    }

    /// Who holds a key.
    pub(crate) async fn inspect(&self, key: &LockKey) -> Result<Option<Holder>, LockError> {
        self.backend.clone().inspect(key.clone()).await
    }

    /// When to come back to a key whose holder's lease lasts for `left`.
    pub(crate) fn come_back(&self, left: Duration) -> Duration {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.come_back(left)
    }

    /// Acquires the keys in their order, so that nobody waits in a circle, all within one wait;
    /// but for those that a layer further out holds already.
    ///
    /// All or none: dropped at any await, or refused one key, it leaves nothing behind.
    pub(crate) async fn acquire(
        &self,
        keys: &LockKeys,
        terms: Terms,
        outer: Option<LockGuard>,
    ) -> Result<LockGuard, NotHeld> {
        let end = terms.wait.map(end_of);
        let mut all = Few::default();
        let mut own = Hold::default();
        for key in keys.as_slice() {
            let found = outer.as_ref().and_then(|o| o.find(&self.held, key));
            if let Some(holding) = found {
                all.push(holding.clone());
                continue;
            }
            let claim = Claim {
                key: key.clone(),
                owner: Owner::random(),
                lease: terms.lease,
                note: terms.note.clone(),
                meter: terms.meter,
                seat: None,
            };
            let acquisition = Acquisition::begin(&claim);
            let acquired = self.acquire_one(claim, end);
            let holding = match acquired.instrument(acquisition.span()).await {
                Ok((holding, lease)) => {
                    acquisition.granted(&lease);
                    holding
                }
                Err(why) => {
                    acquisition.refused(why.counted());
                    return Err(why);
                }
            };
            own.add(holding.clone());
            all.push(holding);
        }
        // While it waited for one, it may have lost another.
        if all.len() > 1 && all.iter().any(|holding| holding.check().is_err()) {
            let lost = "a lock was lost while others were waited for";
            return Err(NotHeld::Unavailable(LockError::refused(lost)));
        }
        own.begin_use();
        let own = Some(own).filter(|own| own.count() > 0);
        let guard = LockGuard::new(all, own, outer);
        if let Some(most) = terms.max_hold {
            guard.hold_at_most(most);
        }
        Ok(guard)
    }

    /// Asks again for what it is granted too late to use, a few times: nobody else holds the key then, so
    /// it is not busy, and who is late each time is not well. It comes before those of this process who
    /// came after it.
    async fn acquire_one(
        &self,
        mut claim: Claim,
        end: Option<Instant>,
    ) -> Result<(Arc<Holding>, Lease), NotHeld> {
        let since = Instant::now();
        for _ in 0..MOST_LATE {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            claim = match self.ask(claim, left.filter(|left| !left.is_zero())).await? {
                Ok(held) => return Ok(held),
                Err(claim) => claim,
            };
            claim.owner = Owner::random();
            claim.seat = Some(since);
        }
        let late = "each lease was over before its grant was read";
        Err(NotHeld::Unavailable(LockError::refused(late)))
    }

    /// The claim comes back where the lease is over when the grant is read, as this thread was held up
    /// or the process stopped; the grant is taken back then.
    ///
    /// Dropped at any await, it leaves nothing behind: the claim is withdrawn.
    async fn ask(
        &self,
        claim: Claim,
        wait: Option<Duration>,
    ) -> Result<Result<(Arc<Holding>, Lease), Claim>, NotHeld> {
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
            Ok(Acquired::Granted(lease)) if lease.deadline() <= Instant::now() => {
                return Ok(Err(claim));
            }
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
            self.times.clone(),
            attempt.home.take(),
        ));
        let Ok(first) = self.held.add(owner, holding.clone()) else {
            return Err(NotHeld::Closed);
        };
        attempt.claim = None;
        if first {
            // Without a runtime no timers and no renewals: the lease ends as it was granted.
            renew_held(&self.held, &self.backend.reconnects());
        }
        Ok(Ok((holding, lease)))
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held, .. } = self;
        f.debug_struct("Manager")
            .field("held", held)
            .finish_non_exhaustive()
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
        let Some(under_way) = self.under_way.take() else {
            return;
        };
        let backend = self.manager.backend.clone();
        send_off(
            self.home.as_ref(),
            until_done(claim.lease.get(), under_way, move || {
                backend.clone().withdraw(claim.clone())
            }),
        );
    }
}

#[cfg(test)]
mod tests;
