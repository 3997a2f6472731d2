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
    /// How many of each generation, the oldest first. There is one generation until a flush waits, so this
    /// allocates but once.
    under_way: Vec<(u64, usize)>,
    generation: u64,
    /// A flush waits for them, so what comes of each is counted.
    flushing: bool,
}

impl Pending {
    /// One more, until it is dropped; as one that was lost, unless it was answered.
    pub(crate) fn begin(&self) -> Operation {
        let mut state = self.lock();
        let generation = state.generation;
        match state.under_way.last_mut() {
            Some((last, count)) if *last == generation => *count += 1,
            _ => state.under_way.push((generation, 1)),
        }
        drop(state);
        Operation {
            pending: self.clone(),
            generation,
            outcome: ShutdownOperations::Lost,
        }
    }

    /// A flush waits for what is under way, until it is dropped: what is left then is lost.
    pub(crate) fn flush(&self) -> Flush {
        self.lock().flushing = true;
        Flush(self.clone())
    }

    /// What begins from now on is of another generation, and of this one or a later.
    pub(crate) fn next(&self) -> u64 {
        let mut state = self.lock();
        state.generation += 1;
        state.generation
    }

    /// Whether nothing is under way of an older generation.
    pub(crate) fn is_none_before(&self, generation: u64) -> bool {
        let oldest = self.lock().under_way.first().copied();
        oldest.is_none_or(|(oldest, _)| oldest >= generation)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that is under way.
#[derive(Debug)]
pub(crate) struct Operation {
    pending: Pending,
    generation: u64,
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
            let of = |(generation, _): &(u64, usize)| *generation == self.generation;
            if let Some(index) = state.under_way.iter().position(of) {
                state.under_way[index].1 -= 1;
                if state.under_way[index].1 == 0 {
                    state.under_way.remove(index);
                }
            }
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
                true => state.under_way.iter().map(|(_, count)| count).sum(),
                false => 0,
            }
        };
        if lost > 0 {
            add(ShutdownOperations::Lost, lost);
        }
    }
}
