//! How long a lock is this process's, and what ended it.
//!
//! Floor 1.

use tokio::time::{Duration, Instant};

use crate::lock::due::Due;
use crate::lock::lease::Lease;
use crate::telemetry::lock_meter::LockMeter;
use crate::telemetry::names::LocksLost;

/// The lease of a lock, and what became of it.
pub(super) struct State {
    pub(super) phase: Phase,
    deadline: Instant,
    /// When the lease is to be renewed next.
    due: Instant,
    /// A renewal is under way, or was in vain: the next one is no sooner than it is due.
    put_off: bool,
    /// To whatever keeps the lock: the last that was heard of.
    connection: u64,
    /// When the lock is let go, whatever is still done under it.
    most: Option<Instant>,
    /// When work under it began: not while others of several keys are still waited for.
    pub(super) in_use: Option<Instant>,
    /// Whether the release is under way.
    pub(super) let_go: bool,
    /// Whether the log has a renewal that was refused.
    refusal_told: bool,
    meter: LockMeter,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Held,
    Lost,
    Released,
}

impl State {
    pub(super) fn new(lease: Lease, meter: LockMeter, connection: u64) -> Self {
        Self {
            phase: Phase::Held,
            deadline: lease.deadline(),
            due: third(lease),
            put_off: false,
            connection,
            most: None,
            in_use: None,
            let_go: false,
            refusal_told: false,
            meter,
        }
    }

    pub(super) fn renewed(&mut self, lease: Lease) {
        self.deadline = lease.deadline();
        self.due = third(lease);
        self.put_off = false;
        self.refusal_told = false;
    }

    /// A renewal begins: the next one then, unless this one brings a new lease.
    pub(super) fn put_off(&mut self, until: Instant) {
        self.due = until;
        self.put_off = true;
    }

    /// Due at once where the connection is another one: what was asked on the last one may be lost.
    pub(super) fn connected(&mut self, connection: u64) {
        if self.connection != connection {
            self.connection = connection;
            self.due = Instant::now();
        }
    }

    /// Whether the log is to be told of a renewal that was refused: the first one.
    pub(super) fn warns_of_refusal(&mut self) -> bool {
        !std::mem::replace(&mut self.refusal_told, true)
    }

    pub(super) fn hold_until(&mut self, until: Instant) {
        self.most = Some(self.most.map_or(until, |most| most.min(until)));
    }

    /// When it is to be looked after: renewed, or let go.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        match (self.at(now), self.most) {
            // Held for too long: to be let go.
            (Phase::Lost, Some(most)) if self.is_held_too_long(now) && !self.let_go => {
                Some(Due::at(most))
            }
            (Phase::Held, Some(most)) if most <= self.due => Some(Due::at(most)),
            (Phase::Held, _) => {
                // A thirtieth of the lease, of which two thirds are left then: a tenth more renewals at
                // most.
                let early = match self.put_off {
                    true => Duration::ZERO,
                    false => self.deadline.saturating_duration_since(self.due) / 20,
                };
                Some(Due::early(self.due, early))
            }
            _ => None,
        }
    }

    /// Whether it is over because it was held for as long as it may be, and its lease is not.
    pub(super) fn is_held_too_long(&self, now: Instant) -> bool {
        self.most.is_some_and(|most| now >= most) && now < self.deadline
    }

    /// The phase at `now`: the deadline ends the lease whether or not anybody was looking.
    pub(super) fn at(&mut self, now: Instant) -> Phase {
        if self.phase == Phase::Held && now >= self.end() {
            self.end_as(Phase::Lost);
        }
        self.phase
    }

    /// What is held is so no longer.
    pub(super) fn end_as(&mut self, phase: Phase) {
        self.phase = phase;
        if phase == Phase::Lost {
            self.meter.count(LocksLost::All);
        }
    }

    pub(super) fn end(&self) -> Instant {
        self.most
            .map_or(self.deadline, |most| most.min(self.deadline))
    }
}

/// When a lease is renewed: after a third of it, so that a short request renews nothing and a
/// long one has time for a second and a third try.
fn third(lease: Lease) -> Instant {
    let now = Instant::now();
    now + lease.deadline().saturating_duration_since(now) / 3
}
