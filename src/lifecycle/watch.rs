//! The phase, set in one place and watched everywhere.
//!
//! Floor 3.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;

use tokio::time::Instant;

use crate::lifecycle::phase::Phase;
use crate::lifecycle::sync::{AtomicU8, AtomicU64, Notified, Notify, SeqCst};

/// Leaked on purpose, some 100 bytes a process: a watch is then one word that every request can
/// copy, where a reference count shared by all threads would cost more than all else it does.
struct Cell {
    phase: AtomicU8,
    changed: Notify,
    /// Noted before the phase gets there, so whoever sees the phase finds the note.
    draining_since: OnceLock<Instant>,
    turned_away: AtomicU64,
    overran: AtomicU64,
    cut_short: AtomicU64,
}

/// Sets the phase. A [`Lifecycle`](crate::lifecycle::Lifecycle) has one inside; one made by hand
/// lets the drain gate work alone.
///
/// Its few bytes are given back when the process ends: make one a process.
#[derive(Clone, Copy)]
pub struct PhaseControl {
    cell: &'static Cell,
}

/// Shows the phase. Copied freely; costs nothing to keep.
#[derive(Clone, Copy)]
pub struct PhaseWatch {
    cell: &'static Cell,
}

impl PhaseControl {
    /// Begins with [`Phase::Starting`].
    #[must_use]
    pub fn new() -> Self {
        let cell = Cell {
            phase: AtomicU8::new(Phase::Starting as u8),
            changed: Notify::new(),
            draining_since: OnceLock::new(),
            turned_away: AtomicU64::new(0),
            overran: AtomicU64::new(0),
            cut_short: AtomicU64::new(0),
        };
        Self {
            cell: Box::leak(Box::new(cell)),
        }
    }

    /// Goes forward to `phase` and wakes who waits for it. Changes nothing when the phase is there
    /// already, or further.
    pub fn advance(&self, phase: Phase) {
        self.advanced(phase);
    }

    /// [`advance`](Self::advance), and whether this was what moved it.
    pub(crate) fn advanced(&self, phase: Phase) -> bool {
        if phase >= Phase::Draining {
            self.cell.draining_since.get_or_init(Instant::now);
        }
        let before = self.cell.phase.fetch_max(phase as u8, SeqCst);
        let moved = before < phase as u8;
        if moved {
            self.cell.changed.notify_waiters();
        }
        moved
    }

    /// A watch on this phase.
    #[must_use]
    pub fn watch(&self) -> PhaseWatch {
        PhaseWatch { cell: self.cell }
    }
}

impl PhaseWatch {
    /// The phase now: one atomic load.
    ///
    /// `SeqCst`, as is the count that comes before it: see the tracker of requests in flight.
    #[must_use]
    pub fn current(&self) -> Phase {
        Phase::from_u8(self.cell.phase.load(SeqCst))
    }

    /// Waits until `phase` has begun; ready at once when it has, also when it is long over.
    ///
    /// Cancel safe.
    pub fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + use<> {
        let watch = *self;
        async move {
            let mut changed = pin!(watch.changed());
            loop {
                // Listens first and looks then, so a change in between is not missed.
                changed.as_mut().enable();
                if watch.current() >= phase {
                    return;
                }
                changed.as_mut().await;
                changed.set(watch.changed());
            }
        }
    }

    /// Ready at the next change of the phase.
    pub(crate) fn changed(&self) -> Notified<'static> {
        self.cell.changed.notified()
    }

    /// When draining began, or what came in its place; none before.
    pub(crate) fn draining_since(&self) -> Option<Instant> {
        if self.current() < Phase::Draining {
            return None;
        }
        self.cell.draining_since.get().copied()
    }

    /// A gate on this phase has turned a request away.
    pub(crate) fn turned_away(&self) {
        self.cell.turned_away.fetch_add(1, SeqCst);
    }

    /// How many requests the gates on this phase have turned away.
    pub(crate) fn rejected(&self) -> u64 {
        self.cell.turned_away.load(SeqCst)
    }

    /// A request was ended because its route gives it no more of the drain.
    pub(crate) fn has_overrun(&self) {
        self.cell.overran.fetch_add(1, SeqCst);
    }

    /// How many were.
    pub(crate) fn overran(&self) -> u64 {
        self.cell.overran.load(SeqCst)
    }

    /// A request is answered in place of its handler, which was dropped because the drain's time is over.
    pub(crate) fn is_cut_short(&self) {
        self.cell.cut_short.fetch_add(1, SeqCst);
    }

    /// How many were.
    pub(crate) fn cut_short(&self) -> u64 {
        self.cell.cut_short.load(SeqCst)
    }
}

impl Default for PhaseControl {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PhaseControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PhaseControl")
            .field(&self.watch().current())
            .finish()
    }
}

impl fmt::Debug for PhaseWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PhaseWatch").field(&self.current()).finish()
    }
}
