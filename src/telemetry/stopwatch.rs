//! Time that is measured for a metric and for nothing else.
//!
//! Floor 0.

/// Runs from when it was made. Without the feature nobody looks at a clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    #[cfg(feature = "metrics")]
    since: tokio::time::Instant,
}

impl Stopwatch {
    #[inline(always)]
    pub(crate) fn start() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            since: tokio::time::Instant::now(),
        }
    }

    /// Seconds so far; without the feature none.
    #[inline(always)]
    pub(crate) fn seconds(self) -> f64 {
        #[cfg(feature = "metrics")]
        return self.since.elapsed().as_secs_f64();
        #[cfg(not(feature = "metrics"))]
        return 0.0;
    }
}
