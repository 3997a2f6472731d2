//! How often a check runs, and how many results it takes to believe it.
//!
//! Floor 1.

use std::time::Duration;

/// How much the instance depends on what is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckClass {
    /// Without it the instance can serve nothing: `/ready` is 503 while it fails.
    Required,
    /// `/ready` stays 200, with `status` `warn`, while it fails.
    Optional,
    /// Required until it has passed once, then optional.
    ///
    /// For what all instances share: a fresh instance that cannot reach it must not be let in,
    /// but when it goes away the whole fleet must not leave the load balancer at once.
    RequiredUntilFirstPass,
}

/// When a check runs and when its result counts.
///
/// Defaults: every 5 s, but every 500 ms from a failure to the next counted pass; given up after
/// 1 s; counted as failed after 3 failures in a row and as passed after 2 passes in a row. The
/// very first pass counts at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckPolicy {
    pub(crate) interval: Duration,
    pub(crate) retry: Duration,
    pub(crate) timeout: Duration,
    pub(crate) fail_after: u32,
    pub(crate) pass_after: u32,
}

impl Default for CheckPolicy {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            retry: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
            fail_after: 3,
            pass_after: 2,
        }
    }
}

impl CheckPolicy {
    /// The pause after a pass. Default 5 s; at least 1 ms.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(SHORTEST);
        self
    }

    /// The pause after a failure, and until a pass counts. Default 500 ms; at least 1 ms.
    #[must_use]
    pub fn retry(mut self, retry: Duration) -> Self {
        self.retry = retry.max(SHORTEST);
        self
    }

    /// How long one run may take before it has failed. Default 1 s; at least 1 ms, at most a day.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.clamp(SHORTEST, LONGEST);
        self
    }

    /// How many failures in a row make a passing check fail. Default 3; at least 1.
    #[must_use]
    pub fn fail_after(mut self, failures: u32) -> Self {
        self.fail_after = failures.max(1);
        self
    }

    /// How many passes in a row make a failing check pass. Default 2; at least 1.
    #[must_use]
    pub fn pass_after(mut self, passes: u32) -> Self {
        self.pass_after = passes.max(1);
        self
    }
}

/// No check spins.
const SHORTEST: Duration = Duration::from_millis(1);
/// No deadline lies past the end of time.
const LONGEST: Duration = Duration::from_secs(86_400);
