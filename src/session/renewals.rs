//! Which sessions were renewed lately: of many requests that find one due, the first renews it.
//! Floor 3.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::id::SessionId;

/// Ids are random: their last byte spreads them evenly.
const SLOTS: usize = 256;

/// The last renewal of each slot. Two sessions of one slot forget one another's, which costs a
/// command more and no memory.
pub(crate) struct Renewals(Mutex<[Option<Renewal>; SLOTS]>);

#[derive(Clone, Copy, PartialEq)]
struct Renewal {
    id: SessionId,
    sent_ms: u64,
}

/// The right to renew a session. Given back where it is dropped, so the next request tries again.
pub(crate) struct Claim {
    renewals: Arc<Renewals>,
    renewal: Renewal,
    kept: bool,
}

impl Default for Renewals {
    fn default() -> Self {
        Self(Mutex::new([None; SLOTS]))
    }
}

impl Renewals {
    /// `None` where a renewal was sent less than a window ago and has not failed.
    pub(crate) fn claim(
        self: &Arc<Self>,
        id: &SessionId,
        now_ms: u64,
        window_ms: u64,
    ) -> Option<Claim> {
        let mut slots = self.slots();
        let slot = &mut slots[slot_of(id)];
        let is_fresh = |last: &Renewal| now_ms.abs_diff(last.sent_ms) < window_ms;
        if slot.is_some_and(|last| last.id == *id && is_fresh(&last)) {
            return None;
        }
        let renewal = Renewal {
            id: *id,
            sent_ms: now_ms,
        };
        *slot = Some(renewal);
        Some(Claim {
            renewals: Arc::clone(self),
            renewal,
            kept: false,
        })
    }

    fn slots(&self) -> MutexGuard<'_, [Option<Renewal>; SLOTS]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// The session is renewed: nobody else need do it for a window.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut slots = self.renewals.slots();
        let slot = &mut slots[slot_of(&self.renewal.id)];
        // Another session may have the slot by now.
        if !self.kept && *slot == Some(self.renewal) {
            *slot = None;
        }
    }
}

fn slot_of(id: &SessionId) -> usize {
    usize::from(id.as_bytes()[SessionId::BYTES - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_renews_and_a_failure_or_the_next_window_lets_another_one() {
        let renewals = Arc::new(Renewals::default());
        let id = SessionId::from_bytes([7; 16]);
        let claim = |now_ms| renewals.claim(&id, now_ms, 100);
        let first = claim(1_000).unwrap();
        assert!(claim(1_000).is_none(), "under way");
        drop(first);
        let second = claim(1_001);
        second.expect("the first failed").keep();
        assert!(claim(1_100).is_none(), "renewed");
        assert!(claim(1_101).is_some(), "the window is over");
    }

    #[test]
    fn sessions_of_one_slot_keep_each_other_from_nothing() {
        let renewals = Arc::new(Renewals::default());
        let (one, mut other) = ([7; 16], [7; 16]);
        other[0] = 8;
        let claim = |id| renewals.claim(&SessionId::from_bytes(id), 1_000, 100);
        let first = claim(one).unwrap();
        let second = claim(other).unwrap();
        drop(first);
        assert!(
            claim(other).is_none(),
            "taken back by another session's failure"
        );
        second.keep();
        assert!(claim(one).is_some());
    }
}
