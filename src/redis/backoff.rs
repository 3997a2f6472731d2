//! How long to wait before the next attempt to connect.
//!
//! Floor 3.

use std::time::Duration;

const FIRST: u64 = 25;
const LONGEST: u64 = 400;

/// Doubles from 25 to 400 ms and then goes on for ever; a quarter either way is chance, so that
/// a fleet does not come back as one.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Before the first of several attempts: nothing, unless the last ones were in vain too.
    pub(crate) fn first(&mut self) -> Duration {
        let is_fresh = self.tries == 0;
        let delay = self.next();
        if is_fresh { Duration::ZERO } else { delay }
    }

    /// Never more than half a second.
    pub(crate) fn next(&mut self) -> Duration {
        let base = (FIRST << self.tries.min(8)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        Duration::from_millis(base * 3 / 4 + crate::random::below(base / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_gives_up_and_never_waits_longer_than_half_a_second() {
        let mut backoff = Backoff::default();
        for _ in 0..1000 {
            let delay = backoff.next();
            assert!(delay > Duration::ZERO && delay <= Duration::from_millis(500));
        }
    }
}
