//! The metrics of locks under one name.
//!
//! Floor 0.

use std::fmt;

/// Records what befalls the locks of one layer or handle, under its name: never under their keys,
/// of which there is no end. Nothing without the feature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LockMeter {
    #[cfg(feature = "metrics")]
    keys: &'static on::Keys,
}

impl LockMeter {
    /// What locks are called that nobody named.
    pub(crate) const UNNAMED: &'static str = "unnamed";
}

#[cfg(feature = "metrics")]
pub(super) mod on {
    use std::sync::{Mutex, PoisonError};

    use metrics::{Key, with_recorder};

    use super::LockMeter;
    use crate::telemetry::described::{Kind, Metric};
    use crate::telemetry::names::ALL;
    use crate::telemetry::record::on::{METADATA, touch};

    /// The keys of each metric that locks have, by the metric's name.
    #[derive(PartialEq, Eq)]
    pub(crate) struct Keys {
        pub(super) name: &'static str,
        of: Vec<(&'static str, Box<[Key]>)>,
    }

    /// Made once for each name, and kept: names are literals, so there are few.
    static KNOWN: Mutex<Vec<&'static Keys>> = Mutex::new(Vec::new());

    impl LockMeter {
        /// The meter of this name.
        pub(crate) fn named(name: &'static str) -> Self {
            let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
            let found = known.iter().copied().find(|keys| keys.name == name);
            let keys = found.unwrap_or_else(|| {
                let of_locks = ALL.iter().filter(|(metric, _)| metric.of_each_lock);
                let of = of_locks.map(|(metric, _)| (metric.name, metric.keys(Some(name))));
                let of = of.collect();
                let keys: &'static Keys = Box::leak(Box::new(Keys { name, of }));
                keys.touch();
                known.push(keys);
                keys
            });
            Self { keys }
        }

        /// One more.
        pub(crate) fn count(self, metric: impl Metric) {
            let key = self.key(metric, Kind::Counter);
            with_recorder(|to| to.register_counter(key, &METADATA).increment(1));
        }

        /// One more value of a histogram.
        pub(crate) fn observe(self, metric: impl Metric, value: f64) {
            let key = self.key(metric, Kind::Histogram);
            with_recorder(|to| to.register_histogram(key, &METADATA).record(value));
        }

        fn key<M: Metric>(self, metric: M, kind: Kind) -> &'static Key {
            debug_assert_eq!(M::DESCRIBED.kind, kind, "{}", M::DESCRIBED.name);
            let mut of = self.keys.of.iter();
            let found = of.find(|(name, _)| std::ptr::eq(*name, M::DESCRIBED.name));
            let (_, keys) = found.expect("a metric of locks");
            &keys[metric.index()]
        }
    }

    impl Keys {
        /// Lets the recorder know the counters, which are zero then and not missing.
        fn touch(&self) {
            for (metric, _) in ALL {
                let of = self.of.iter().filter(|(name, _)| *name == metric.name);
                of.for_each(|(_, keys)| touch(metric.kind, keys));
            }
        }
    }

    /// As [`Keys::touch`], for all names that there are.
    pub(in crate::telemetry) fn touch_all() {
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().for_each(|keys| keys.touch());
    }
}

#[cfg(not(feature = "metrics"))]
impl LockMeter {
    #[inline(always)]
    pub(crate) fn named(_: &'static str) -> Self {
        Self {}
    }

    #[inline(always)]
    pub(crate) fn count<M>(self, _: M) {}

    #[inline(always)]
    pub(crate) fn observe<M>(self, _: M, _: f64) {}
}

impl fmt::Debug for LockMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("LockMeter");
        #[cfg(feature = "metrics")]
        out.field(&self.keys.name);
        out.finish()
    }
}
