//! What a shutdown's flush waits for, and what comes of it.
//!
//! Floor 0.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::telemetry::names::ShutdownOperations;
use crate::telemetry::record::{add, count};

/// Operations under way. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    /// A flush waits for them, so what comes of each is counted.
    flushing: bool,
}

impl Pending {
    /// One more, until it is dropped; as one that was lost, unless it was answered.
    pub(crate) fn begin(&self) -> Operation {
        self.lock().under_way += 1;
        Operation {
            pending: self.clone(),
            outcome: ShutdownOperations::Lost,
        }
    }

    /// A flush waits for what is under way, until it is dropped: what is left then is lost.
    pub(crate) fn flush(&self) -> Flush {
        self.lock().flushing = true;
        Flush(self.clone())
    }

    /// Whether nothing is under way.
    pub(crate) fn is_none(&self) -> bool {
        self.lock().under_way == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that is under way.
#[derive(Debug)]
pub(crate) struct Operation {
    pending: Pending,
    outcome: ShutdownOperations,
}

impl Operation {
    /// The backend has answered, whatever it said.
    pub(crate) fn is_answered(&mut self) {
        self.outcome = ShutdownOperations::Flushed;
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let counts = {
            let mut state = self.pending.lock();
            state.under_way -= 1;
            state.flushing
        };
        if counts {
            count(self.outcome);
        }
    }
}

/// A flush that waits.
#[derive(Debug)]
pub(crate) struct Flush(Pending);

impl Drop for Flush {
    fn drop(&mut self) {
        let lost = {
            let mut state = self.0.lock();
            // Nobody counts them twice, where they end after all or another flush waited for them too.
            match std::mem::take(&mut state.flushing) {
                true => state.under_way,
                false => 0,
            }
        };
        if lost > 0 {
            add(ShutdownOperations::Lost, lost);
        }
    }
}
