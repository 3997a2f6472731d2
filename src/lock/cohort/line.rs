//! Those of one process who wait for a key, first come, first served.
//!
//! Floor 1.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::lock::cohort::words::Turn;
use crate::lock::lease::{Claim, LeaseTime, Owner};
use crate::lock::sync::oneshot;
use crate::lock::tenure::Tenure;

#[derive(Debug, Default)]
pub(super) struct Line(VecDeque<Waiter>);

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) owner: Owner,
    pub(super) lease: LeaseTime,
    seat: Option<Instant>,
    wake: oneshot::Sender<Turn>,
}

impl Waiter {
    /// Whether nobody listens for its turn any more.
    pub(super) fn is_gone(&self) -> bool {
        self.wake.is_closed()
    }
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whoever is served next.
    pub(super) fn first(&self) -> Option<&Waiter> {
        self.0.front()
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.0.iter()
    }

    /// A place at the end of the line or, for who has asked on its behalf, at its head: behind those
    /// who were served before, too late to use it, and are back where they were.
    pub(super) fn enter(&mut self, who: &Claim, first: bool) -> oneshot::Receiver<Turn> {
        let (wake, turn) = oneshot::channel();
        let before = |waiter: &&Waiter| {
            let seat = waiter.seat;
            seat.is_some_and(|seat| who.seat.is_none_or(|mine| seat <= mine))
        };
        let place = if first || who.seat.is_some() {
            self.0.iter().take_while(before).count()
        } else {
            self.0.len()
        };
        let waiter = Waiter {
            owner: who.owner,
            lease: who.lease,
            seat: who.seat,
            wake,
        };
        self.0.insert(place, waiter);
        turn
    }

    /// A new ear for who stands in line already; the old one hears nothing any more.
    pub(super) fn listen_again(&mut self, owner: Owner) -> Option<oneshot::Receiver<Turn>> {
        let waiter = self.0.iter_mut().find(|waiter| waiter.owner == owner)?;
        let (wake, turn) = oneshot::channel();
        waiter.wake = wake;
        Some(turn)
    }

    /// Whether `owner` stood there.
    pub(super) fn remove(&mut self, owner: Owner) -> bool {
        let before = self.0.len();
        self.0.retain(|waiter| waiter.owner != owner);
        self.0.len() < before
    }

    pub(super) fn forget_the_gone(&mut self) {
        self.0.retain(|waiter| !waiter.is_gone());
    }

    /// Gives the key to the first who is still there.
    pub(super) fn give(&mut self, tenure: &mut Tenure) -> bool {
        while let Some(Waiter { owner, wake, .. }) = self.0.pop_front() {
            if wake.send(Turn::Granted(tenure.lease())).is_ok() {
                tenure.holder = owner;
                return true;
            }
        }
        false
    }

    /// Ends every wait alike.
    pub(super) fn end(&mut self, turn: impl Fn() -> Turn) {
        for waiter in self.0.drain(..) {
            // Who is gone needs no answer.
            let _ = waiter.wake.send(turn());
        }
    }
}
