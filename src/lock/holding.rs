//! One lock that this process holds: its lease, and how it ends.
//!
//! Floor 3.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::lock::backend::{Released, Renewed};
use crate::lock::due::Due;
use crate::lock::erased::ErasedBackend;
use crate::lock::error::LockError;
use crate::lock::held::HeldLocks;
use crate::lock::held::list::Held;
use crate::lock::hold_time::HoldTime;
use crate::lock::holding::state::{Phase, State};
use crate::lock::lease::{Claim, Fence, Lease};
use crate::lock::lock_key::LockKey;
use crate::lock::outcome::ReleaseOutcome;
use crate::lock::send_off::{send_off, until_done};
use crate::telemetry::names::{LockHoldSeconds, LockReleases};

mod state;

/// What the guards of one lock share.
pub(crate) struct Holding {
    claim: Claim,
    fence: Fence,
    backend: Arc<dyn ErasedBackend>,
    held: HeldLocks,
    /// Where it is noted how long the lock was held.
    times: Arc<Mutex<HoldTime>>,
    /// Where the acquire ran, for a release from outside of any runtime.
    home: Option<Handle>,
    state: Mutex<State>,
    ended: Notify,
}

impl Holding {
    pub(crate) fn new(
        claim: Claim,
        lease: Lease,
        backend: Arc<dyn ErasedBackend>,
        held: HeldLocks,
        times: Arc<Mutex<HoldTime>>,
        home: Option<Handle>,
    ) -> Self {
        let meter = claim.meter;
        let connection = backend.connection(&claim.key);
        Self {
            claim,
            fence: lease.fence(),
            backend,
            held,
            times,
            home,
            state: Mutex::new(State::new(lease, meter, connection)),
            ended: Notify::new(),
        }
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    pub(crate) fn fence(&self) -> Fence {
        self.fence
    }

    pub(crate) fn held(&self) -> &HeldLocks {
        &self.held
    }

    /// How long the lease lasts; zero when it is over, whatever ended it.
    pub(crate) fn remaining(&self) -> Duration {
        let state = self.state();
        match state.phase {
            Phase::Held => state.end().saturating_duration_since(Instant::now()),
            Phase::Lost | Phase::Released => Duration::ZERO,
        }
    }

    /// Whether the lease lasts.
    pub(crate) fn check(&self) -> Result<(), LockError> {
        let mut state = self.state();
        match state.at(Instant::now()) {
            Phase::Held => Ok(()),
            Phase::Lost => Err(LockError::lost()),
            Phase::Released => Err(LockError::released()),
        }
    }

    /// Resolves when the lease is over, without help from any task: the deadline has a timer
    /// of its own here.
    pub(crate) async fn ended(&self) {
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            let deadline = {
                let mut state = self.state();
                if state.at(Instant::now()) != Phase::Held {
                    return;
                }
                state.end()
            };
            tokio::select! {
                () = ended => {}
                () = sleep_until(deadline) => {}
            }
        }
    }

    /// Work under the lock begins.
    pub(crate) fn begin_use(&self) {
        self.state().in_use = Some(Instant::now());
    }

    /// Lets go after `time` at the latest: from then on the lock counts as lost.
    pub(crate) fn hold_at_most(&self, time: Duration) {
        let until = Instant::now() + time;
        self.state().hold_until(until);
        self.held.due_at(until);
        // Whoever waits for the end looks at the new one.
        self.ended.notify_waiters();
    }

    /// Lets go, and tries for as long as the lease may last.
    pub(crate) fn let_go(&self) {
        self.end(Phase::Released, None);
    }

    /// Lets go; the outcome of the first attempt comes through the receiver.
    pub(crate) fn release(&self) -> Result<oneshot::Receiver<ReleaseOutcome>, ReleaseOutcome> {
        let (tell, told) = oneshot::channel();
        match self.end(Phase::Released, Some(tell)) {
            true => Ok(told),
            false => Err(ReleaseOutcome::AlreadyReleased),
        }
    }

    /// Whether it had not ended before.
    fn end(&self, phase: Phase, tell: Option<oneshot::Sender<ReleaseOutcome>>) -> bool {
        let in_use = {
            let mut state = self.state();
            if std::mem::replace(&mut state.let_go, true) {
                return false;
            }
            if state.at(Instant::now()) == Phase::Held {
                state.end_as(phase);
            }
            state.in_use
        };
        self.ended.notify_waiters();
        let meter = self.claim.meter;
        if let Some(held) = in_use.map(|since| since.elapsed()) {
            meter.observe(LockHoldSeconds::Each, held.as_secs_f64());
            if phase == Phase::Released {
                let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
                times.record(held);
            }
        }
        let under_way = self.held.leave(&self.claim.owner);
        let (backend, claim) = (self.backend.clone(), self.claim.clone());
        let mut first = Some(tell);
        send_off(
            self.home.as_ref(),
            until_done(self.claim.lease.get(), under_way, move || {
                let first = first.take();
                let answer = backend.clone().release(claim.clone());
                async move {
                    let answer = answer.await;
                    if let Some(tell) = first {
                        let (counted, outcome) = match &answer {
                            Ok(Released::Freed) => (LockReleases::Freed, ReleaseOutcome::Freed),
                            Ok(Released::HandedOver) => {
                                (LockReleases::HandedOver, ReleaseOutcome::HandedOver)
                            }
                            Ok(Released::NotHeld) => {
                                (LockReleases::LostBefore, ReleaseOutcome::LostBefore)
                            }
                            Err(_) => (LockReleases::Unknown, ReleaseOutcome::Unknown),
                        };
                        meter.count(counted);
                        // Whoever asked may have gone.
                        let _ = tell.map(|tell| tell.send(outcome));
                    }
                    answer
                }
            }),
        );
        true
    }

    fn renewed(&self, answer: Result<Renewed, LockError>) {
        let mut state = self.state();
        // Whoever has once been told that the lock is lost must not see it come back.
        if state.at(Instant::now()) == Phase::Held {
            match answer {
                Ok(Renewed::Renewed(lease)) => state.renewed(lease),
                Ok(Renewed::Lost) => state.end_as(Phase::Lost),
                // The next one was put off when this began; the deadline stands. An outage the connection
                // tells of itself, and not once a second for each lock.
                Err(error) if error.is_refusal() && state.warns_of_refusal() => {
                    tracing::warn!(key = %self.claim.key, %error, "a lock's lease was not renewed");
                }
                Err(error) => {
                    tracing::debug!(key = %self.claim.key, %error, "a lock's lease was not renewed");
                }
            }
        }
        let lost = state.phase == Phase::Lost;
        drop(state);
        if lost {
            tracing::error!(key = %self.claim.key, fence = %self.fence, "a lock was lost");
            self.ended.notify_waiters();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held for Holding {
    fn key(&self) -> &LockKey {
        &self.claim.key
    }

    fn due(&self, now: Instant) -> Option<Due> {
        self.state().due(now)
    }

    fn reconnected(&self) {
        let connection = self.backend.connection(&self.claim.key);
        self.state().connected(connection);
    }

    fn renew(self: Arc<Self>, place: Option<OwnedSemaphorePermit>) {
        let mut state = self.state();
        let now = Instant::now();
        if state.let_go {
            // While it waited for its turn.
            return;
        }
        if state.at(now) == Phase::Lost {
            let too_long = state.is_held_too_long(now);
            drop(state);
            if too_long {
                tracing::warn!(key = %self.claim.key, "a lock was held for as long as it may be");
            } else {
                // The lease ran out while it waited.
                tracing::error!(key = %self.claim.key, fence = %self.fence, "a lock was lost");
            }
            return self.take_away();
        }
        let again = (self.claim.lease.get() / 10).min(Duration::from_secs(1));
        state.put_off(now + again);
        drop(state);
        tokio::spawn(async move {
            let answer = self.backend.clone().renew(self.claim.clone()).await;
            self.renewed(answer);
            drop(place);
        });
    }

    fn home(&self) -> Option<&Handle> {
        self.home.as_ref()
    }

    fn take_away(self: Arc<Self>) {
        // To a handler that still runs the lock is lost: it did not let go itself.
        self.end(Phase::Lost, None);
    }
}

impl fmt::Debug for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holding")
            .field("key", &self.claim.key)
            .field("fence", &self.fence)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
