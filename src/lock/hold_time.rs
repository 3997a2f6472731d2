//! How long locks are held, and so when to come back for one.
//!
//! Floor 1.

use std::time::Duration;

/// What a busy answer suggests before anything is known.
const UNKNOWN: Duration = Duration::from_secs(2);
/// The longest that it suggests: a guess that is wrong must not cost more.
const LONGEST: Duration = Duration::from_secs(30);
/// How much the latest hold counts: one in so many.
const WEIGHT: u32 = 8;

/// The moving average of what was held of late.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HoldTime(Option<Duration>);

impl HoldTime {
    pub(crate) fn record(&mut self, held: Duration) {
        // What is suggested is bounded, so what counts is too.
        let held = held.min(LONGEST);
        self.0 = Some(match self.0 {
            None => held,
            Some(average) => average - average / WEIGHT + held / WEIGHT,
        });
    }

    /// When to come back to a key whose holder's lease lasts for `left`: a lease is what a crash
    /// costs, and says little about how long the key is held, except that it is no longer.
    pub(crate) fn come_back(self, left: Duration) -> Duration {
        self.0.unwrap_or(UNKNOWN).min(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn nothing_known_is_two_seconds_and_never_more_than_the_lease() {
        assert_eq!(HoldTime::default().come_back(ms(10_000)), ms(2_000));
        assert_eq!(HoldTime::default().come_back(ms(300)), ms(300));
    }

    #[test]
    fn it_follows_what_is_held_of_late_and_is_moved_little_by_one() {
        let mut time = HoldTime::default();
        time.record(ms(8_000));
        assert_eq!(time.come_back(Duration::MAX), ms(8_000));
        time.record(ms(0));
        assert_eq!(time.come_back(Duration::MAX), ms(7_000));
        for _ in 0..100 {
            time.record(ms(100));
        }
        let settled = time.come_back(Duration::MAX);
        assert!((ms(99)..ms(101)).contains(&settled), "{settled:?}");
    }

    #[test]
    fn it_is_bounded_whatever_was_held() {
        let mut time = HoldTime::default();
        for _ in 0..100 {
            time.record(Duration::MAX);
            assert!(time.come_back(Duration::MAX) <= LONGEST);
        }
    }
}
