//! When a held lock is to be looked after, and which are looked after together.
//!
//! Floor 0.

use std::time::Duration;

use tokio::time::Instant;

/// Leases due within this time are renewed together, so that their commands leave together.
const TOGETHER: Duration = Duration::from_millis(10);

/// So much longer that time is for each lock that is held: whoever finds out which are due looks at
/// each of them, which takes some hundredths of that. Short leases leave less time to choose from.
const LOOK: Duration = Duration::from_micros(10);

/// And no longer than this, as others wait to be taken in or let go while they are looked at.
const MOST_TOGETHER: Duration = Duration::from_millis(500);

/// When a lock is to be looked after: renewed, or let go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) at: Instant,
    /// From here on along with others that are due.
    soonest: Instant,
}

impl Due {
    /// Then, and no sooner.
    pub(crate) fn at(at: Instant) -> Self {
        Self { at, soonest: at }
    }

    /// Then, and so much sooner along with others.
    pub(crate) fn early(at: Instant, early: Duration) -> Self {
        let soonest = at.checked_sub(early).unwrap_or(at);
        Self { at, soonest }
    }

    /// Whether its turn is now, among so many that are held.
    pub(crate) fn is_now(&self, now: Instant, held: usize) -> bool {
        self.at <= now || (self.soonest <= now && self.at <= now + together(held))
    }
}

fn together(held: usize) -> Duration {
    let held = u32::try_from(held).unwrap_or(u32::MAX);
    LOOK.saturating_mul(held).clamp(TOGETHER, MOST_TOGETHER)
}
