//! Who holds a lock, with which right, and for how long.
//!
//! Floor 1.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::ConfigError;
use crate::lock::grant_path::GrantPath;
use crate::lock::lock_key::LockKey;
use crate::lock::note::Note;
use crate::random;
use crate::telemetry::lock_meter::LockMeter;
use crate::telemetry::names::LockWaits;

/// How long a hand-over is reserved for the waiter it goes to. Whoever asks after that has the next one
/// in line served; with Redis each process that waits asks every two seconds.
///
/// The waiter's first renewal, at a third of this, makes an ordinary lease of it.
pub(crate) const HAND_OVER: Duration = Duration::from_secs(1);

/// How many may wait for one key unless told otherwise.
pub(crate) const MAX_WAITERS: usize = 1024;

/// When a wait that begins now is over. What is as good as for ever is a year, so that every wait
/// has an end.
pub(crate) fn end_of(wait: Duration) -> Instant {
    Instant::now() + wait.min(Duration::from_secs(365 * 24 * 60 * 60))
}

/// Sixteen random bytes that name one claim, and make it idempotent.
///
/// Who knows them can release the lock, so they appear in no log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner([u8; 16]);

impl Owner {
    /// An owner that nobody can guess.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    #[must_use]
    pub fn random() -> Self {
        Self(random::bytes())
    }

    /// The bytes, as a backend stores them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "read from a grant")
    )]
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owner(redacted)")
    }
}

/// A number that grows with every grant of a key, across releases, expiry and restarts.
///
/// Send it along with every write to the resource that the lock protects, and let the resource
/// refuse a number smaller than the largest it has seen: then a holder that was suspended past
/// its lease cannot undo its successor's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(u64);

impl Fence {
    /// A fence with this number; backends make them.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number; below 2^53 from the backends of this crate, so JSON carries it exactly.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How long a lock outlives a holder that stopped renewing it: 100 ms to 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseTime(Duration);

impl LeaseTime {
    /// Ten seconds: what a crashed holder costs those who wait.
    pub const DEFAULT: Self = Self(Duration::from_secs(10));

    /// A lease of `time`.
    ///
    /// # Errors
    /// When `time` is shorter than 100 ms or longer than 24 hours.
    pub fn new(time: Duration) -> Result<Self, ConfigError> {
        let accepted = Duration::from_millis(100)..=Duration::from_secs(24 * 60 * 60);
        if !accepted.contains(&time) {
            return Err(ConfigError::new(
                "lease",
                format_args!("{time:?}"),
                "100 ms to 24 h",
            ));
        }
        Ok(Self(time))
    }

    /// The time.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }
}

/// One attempt to hold a key: all that a backend needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// What to lock.
    pub key: LockKey,
    /// For whom; the same owner asking again asks for the same grant.
    pub owner: Owner,
    /// For how long, unless renewed.
    pub lease: LeaseTime,
    /// What operators are told of it.
    pub note: Note,
    /// Under which name it is counted.
    pub(crate) meter: LockMeter,
    /// When it was first made, where it asks once more as its grant came too late to use: it has waited
    /// for its turn already.
    pub(crate) seat: Option<Instant>,
}

impl Claim {
    /// A claim of a new, random owner.
    #[must_use]
    pub fn new(key: LockKey, lease: LeaseTime) -> Self {
        Self {
            key,
            owner: Owner::random(),
            lease,
            note: Note::default(),
            meter: LockMeter::named(LockMeter::UNNAMED),
            seat: None,
        }
    }

    /// It stands in line from now on.
    pub(crate) fn waits(&self) {
        self.meter.count(LockWaits::All);
        tracing::debug!(target: "tower_handoff::lock", "waits in line");
    }
}

/// What a backend grants: a fence, and a deadline after which somebody else may hold the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    fence: Fence,
    deadline: Instant,
    path: GrantPath,
}

impl Lease {
    /// A lease of `time`, confirmed by the answer to a request sent at `sent`.
    ///
    /// The deadline counts from before the request left, not from its answer: the backend's
    /// clock started somewhere in between. One percent and 2 ms come off for clock drift.
    #[must_use]
    pub fn confirmed(fence: Fence, sent: Instant, time: Duration) -> Self {
        let drift = time / 100 + Duration::from_millis(2);
        Self {
            fence,
            deadline: sent + time.saturating_sub(drift),
            path: GrantPath::default(),
        }
    }

    /// A lease whose deadline is known already.
    #[cfg(feature = "redis")]
    pub(crate) fn until(fence: Fence, deadline: Instant) -> Self {
        Self {
            fence,
            deadline,
            path: GrantPath::default(),
        }
    }

    /// The same lease, for a backend to say how the grant came: [`Free`](GrantPath::Free) unless told
    /// otherwise. Nobody looks at that of a renewal.
    #[must_use]
    pub fn with_path(self, path: GrantPath) -> Self {
        Self { path, ..self }
    }

    /// The number that grows with every grant.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// From here on somebody else may hold the key.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How the grant came.
    #[must_use]
    pub fn path(&self) -> GrantPath {
        self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_before_the_backend_can_give_the_key_away() {
        let sent = Instant::now();
        let lease = Lease::confirmed(Fence::new(1), sent, Duration::from_secs(10));
        assert_eq!(lease.deadline(), sent + Duration::from_millis(9_898));
        let tiny = Lease::confirmed(Fence::new(1), sent, Duration::from_millis(1));
        assert_eq!(tiny.deadline(), sent);
    }

    #[test]
    fn absurd_leases_are_refused_with_what_is_accepted() {
        for bad in [0, 99, 86_400_001] {
            let error = LeaseTime::new(Duration::from_millis(bad)).unwrap_err();
            assert_eq!(error.accepted(), "100 ms to 24 h");
        }
        assert!(LeaseTime::new(Duration::MAX).is_err());
        assert!(LeaseTime::new(Duration::from_millis(100)).is_ok());
    }

    #[test]
    fn debug_shows_no_owner() {
        let claim = Claim::new(LockKey::new("k").unwrap(), LeaseTime::DEFAULT);
        assert!(format!("{claim:?}").contains("redacted"));
    }
}
