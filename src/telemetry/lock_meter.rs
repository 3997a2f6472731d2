//! The metrics of locks under one name.
//!
//! Floor 0.

use std::fmt;

#[cfg(feature = "metrics")]
use crate::telemetry::described::{Kind, Metric};
#[cfg(feature = "metrics")]
use crate::telemetry::lock_keys::LockKeys;
#[cfg(feature = "metrics")]
use crate::telemetry::record::{add_to, observe_in};

/// Records what befalls the locks of one layer or handle, under its name: never under their keys,
/// of which there is no end. Without the feature it is the name, for the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LockMeter {
    #[cfg(feature = "metrics")]
    keys: &'static LockKeys,
    #[cfg(not(feature = "metrics"))]
    name: &'static str,
}

impl LockMeter {
    /// What locks are called that nobody named.
    pub(crate) const UNNAMED: &'static str = "unnamed";
}

#[cfg(feature = "metrics")]
impl LockMeter {
    /// The meter of this name.
    pub(crate) fn named(name: &'static str) -> Self {
        let keys = LockKeys::named(name);
        Self { keys }
    }

    /// What the locks are called.
    pub(crate) fn name(self) -> &'static str {
        self.keys.name
    }

    /// One more.
    pub(crate) fn count<M: Metric>(self, metric: M) {
        debug_assert_eq!(M::DESCRIBED.kind, Kind::Counter);
        add_to(&self.keys.of[M::PLACE][metric.index()], 1);
    }

    /// One more value of a histogram.
    pub(crate) fn observe<M: Metric>(self, metric: M, value: f64) {
        debug_assert_eq!(M::DESCRIBED.kind, Kind::Histogram);
        observe_in(&self.keys.of[M::PLACE][metric.index()], value);
    }
}

#[cfg(not(feature = "metrics"))]
impl LockMeter {
    #[inline(always)]
    pub(crate) fn named(name: &'static str) -> Self {
        Self { name }
    }

    /// What the locks are called.
    #[inline(always)]
    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    #[inline(always)]
    pub(crate) fn count<M>(self, _: M) {}

    #[inline(always)]
    pub(crate) fn observe<M>(self, _: M, _: f64) {}
}

impl fmt::Debug for LockMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockMeter").field(&self.name()).finish()
    }
}
