//! Redis's clock, kept on this process's monotonic clock.
//!
//! Floor 3.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::probe::LATEST_MS;

/// Tells Redis's time without asking Redis.
///
/// Every instance of a fleet then means the same by "now", whatever the wall clocks of their
/// machines say, and a clock that jumps in the middle changes nothing.
#[derive(Debug)]
pub(crate) struct Clock {
    anchor: Instant,
    /// Redis's time at the anchor, in ms since the Unix epoch.
    offset: AtomicI64,
    /// How old a reply can be when it is read: the command time-out, in ms.
    slack: i64,
}

impl Clock {
    /// Until Redis was asked once, the local wall clock has to serve.
    pub(crate) fn new(slack: Duration) -> Self {
        let local = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            anchor: Instant::now(),
            offset: AtomicI64::new(millis(local)),
            slack: millis(slack),
        }
    }

    /// One that shows the same, until it is told better.
    #[cfg(feature = "cluster")]
    pub(crate) fn copy(&self) -> Self {
        let offset = self.offset.load(Ordering::Relaxed);
        Self {
            offset: AtomicI64::new(offset),
            ..*self
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        let now = self.offset.load(Ordering::Relaxed) + millis(self.anchor.elapsed());
        now.max(0) as u64
    }

    /// `TIME` was asked at `sent` and answered just now: it was read half a round trip ago.
    pub(crate) fn set(&self, redis_ms: u64, sent: Instant, received: Instant) {
        let read_at = sent + (received - sent) / 2;
        let since_anchor = millis(read_at.saturating_duration_since(self.anchor));
        self.offset
            .store(redis_ms as i64 - since_anchor, Ordering::Relaxed);
    }

    /// A reply carried Redis's time.
    ///
    /// Redis's clock now shows at least that, and at most a time-out more: an estimate outside
    /// is moved to the nearer end, one inside is better than the reply could make it. What no clock shows
    /// is taken for the latest that one does.
    pub(crate) fn observe(&self, redis_ms: u64) {
        let earliest = redis_ms.min(LATEST_MS) as i64 - millis(self.anchor.elapsed());
        let latest = earliest + self.slack;
        let offset = self.offset.load(Ordering::Relaxed);
        if !(earliest..=latest).contains(&offset) {
            self.offset
                .store(offset.clamp(earliest, latest), Ordering::Relaxed);
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn follows_time_and_moves_on_the_monotonic_clock() {
        let clock = Clock::new(Duration::from_millis(500));
        let sent = Instant::now();
        tokio::time::advance(Duration::from_millis(100)).await;
        clock.set(1_000_000, sent, Instant::now());
        assert_eq!(clock.now_ms(), 1_000_050, "half a round trip has passed");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.now_ms(), 1_060_050);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_moves_the_clock_only_as_far_as_it_proves() {
        let clock = Clock::new(Duration::from_millis(500));
        clock.set(1_000_000, Instant::now(), Instant::now());
        clock.observe(999_600);
        assert_eq!(clock.now_ms(), 1_000_000, "a late reply proves nothing");
        clock.observe(1_000_200);
        assert_eq!(clock.now_ms(), 1_000_200, "Redis is at least that far");
        clock.observe(400_000);
        assert_eq!(clock.now_ms(), 400_500, "Redis's clock was set back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_with_a_time_that_no_clock_shows_is_kept_within_bounds() {
        let clock = Clock::new(Duration::from_secs(60));
        for redis_ms in [i64::MAX as u64, u64::MAX] {
            clock.observe(redis_ms);
            assert_eq!(clock.now_ms(), LATEST_MS);
        }
        clock.observe(1_000_000);
        assert_eq!(clock.now_ms(), 1_060_000, "it finds back");
    }
}
