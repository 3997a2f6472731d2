//! What is said to a line, and what it answers.
//!
//! Floor 1.

use tokio::time::Instant;

use crate::lock::error::LockError;
use crate::lock::lease::{Fence, Lease, Owner};
use crate::lock::sync::oneshot;
use crate::lock::tenure::Tenure;

/// How a wait in the process's own line ends.
#[derive(Debug)]
pub(crate) enum Turn {
    Granted(Lease),
    Full,
    Failed(LockError),
}

#[derive(Debug)]
pub(crate) enum Arrival {
    /// Ask the backend, in the arrival's own name.
    Ask,
    /// It holds the key already.
    Again(Lease),
    /// Held at least until then, where that is known.
    Busy(Option<Instant>),
    Full,
    Wait(Place),
}

/// A place in the process's line; `drive` where somebody must be found who asks for the line.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) turn: oneshot::Receiver<Turn>,
    pub(crate) drive: bool,
}

/// What letting go means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The next one here has the key already.
    Passed,
    /// It stood in this line, or had gone before; nothing is to be told to the backend.
    Settled,
    /// The last one who wanted the key: take this token's claim back.
    Withdraw(Owner),
    /// Release it, and say which fence was the last; get in line again where others here want it.
    Release { ended: Ended, again: Option<Owner> },
    /// Nothing is known of this owner.
    Unknown,
}

/// What is over under a token, a tenure or a wait, as the backend has to hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) token: Owner,
    /// None where it held nothing yet, as far as this process knows.
    pub(crate) last: Option<Fence>,
}

impl Ended {
    pub(crate) fn of(token: Owner, tenure: &Tenure) -> Self {
        let last = Some(tenure.lease().fence());
        Self { token, last }
    }
}

/// What there is to do for the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nobody waits any more; a claim that nobody took back is to be.
    Over(Option<Owner>),
    /// Wait for news, or until then.
    Rest(Option<Instant>),
    Ask(Owner),
}
