//! What a drain leaves behind for whoever looks at it later.
//!
//! Floor 0.

#[cfg(feature = "metrics")]
use std::sync::OnceLock;

#[cfg(feature = "metrics")]
use tokio::time::Instant;

/// When it began and ended, and how many requests it cut off. Nothing without the feature.
#[derive(Debug, Default)]
pub(crate) struct DrainMarks {
    #[cfg(feature = "metrics")]
    began: OnceLock<Instant>,
    #[cfg(feature = "metrics")]
    ended: OnceLock<Instant>,
    #[cfg(feature = "metrics")]
    cut: OnceLock<Cut>,
}

/// Requests at the moment before what was left of them was cut off. From then on those end as
/// well, and are not served for that.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "for metrics"))]
pub(crate) struct Cut {
    pub(crate) served: u64,
    pub(crate) aborted: u64,
}

#[cfg(feature = "metrics")]
impl DrainMarks {
    pub(crate) fn drain_begins(&self) {
        self.began.get_or_init(Instant::now);
    }

    pub(crate) fn drain_ends(&self) {
        self.ended.get_or_init(Instant::now);
    }

    pub(crate) fn cut_off(&self, cut: Cut) {
        self.cut.get_or_init(|| cut);
    }

    pub(crate) fn cut(&self) -> Option<Cut> {
        self.cut.get().copied()
    }

    /// How long the drain lasts, or lasted.
    pub(crate) fn drain_seconds(&self) -> f64 {
        let Some(began) = self.began.get() else {
            return 0.0;
        };
        let ended = self.ended.get().copied().unwrap_or_else(Instant::now);
        ended.saturating_duration_since(*began).as_secs_f64()
    }
}

#[cfg(not(feature = "metrics"))]
impl DrainMarks {
    #[inline(always)]
    pub(crate) fn drain_begins(&self) {}

    #[inline(always)]
    pub(crate) fn drain_ends(&self) {}

    #[inline(always)]
    pub(crate) fn cut_off(&self, _: Cut) {}
}
