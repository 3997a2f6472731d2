//! The ways to record. Without the feature each of them is nothing.
//!
//! The recorder is asked for anew each time: it may be installed after the first layer is made.
//! Keys are ready-made, so nothing is formatted or allocated on this side of it.
//!
//! Floor 0.

#[cfg(feature = "redis")]
#[cfg(not(feature = "metrics"))]
pub(crate) use off::observe;
#[cfg(not(feature = "metrics"))]
pub(crate) use off::{add, count, set};
#[cfg(feature = "redis")]
#[cfg(feature = "metrics")]
pub(crate) use on::observe;
#[cfg(feature = "metrics")]
pub(crate) use on::{add, add_to, count, observe_in, reach, set, touch};

#[cfg(feature = "metrics")]
mod on {
    use metrics::{Key, Level, Metadata, with_recorder};

    use crate::telemetry::described::{Kind, Metric};

    static METADATA: Metadata<'static> = Metadata::new("tower_handoff", Level::INFO, None);

    fn key<M: Metric>(metric: M, kind: Kind) -> &'static Key {
        debug_assert_eq!(M::DESCRIBED.kind, kind, "{}", M::DESCRIBED.name);
        debug_assert!(!M::DESCRIBED.of_each_lock, "{}", M::DESCRIBED.name);
        &M::keys()[metric.index()]
    }

    /// Lets the recorder know of counters, which are zero then and not missing: who asks how much
    /// one grew sees its first step too.
    pub(crate) fn touch(kind: Kind, keys: &[Key]) {
        if kind == Kind::Counter {
            keys.iter().for_each(|key| add_to(key, 0));
        }
    }

    /// One more.
    pub(crate) fn count(metric: impl Metric) {
        add(metric, 1);
    }

    /// So many more.
    pub(crate) fn add(metric: impl Metric, more: usize) {
        add_to(key(metric, Kind::Counter), more);
    }

    pub(crate) fn add_to(key: &Key, more: usize) {
        with_recorder(|to| to.register_counter(key, &METADATA).increment(more as u64));
    }

    /// It is counted elsewhere, and has come to this.
    pub(crate) fn reach(metric: impl Metric, count: u64) {
        let key = key(metric, Kind::Counter);
        with_recorder(|to| to.register_counter(key, &METADATA).absolute(count));
    }

    /// What a gauge shows from now on.
    pub(crate) fn set(metric: impl Metric, value: f64) {
        let key = key(metric, Kind::Gauge);
        with_recorder(|to| to.register_gauge(key, &METADATA).set(value));
    }

    /// One more value of a histogram.
    #[cfg(feature = "redis")]
    pub(crate) fn observe(metric: impl Metric, value: f64) {
        observe_in(key(metric, Kind::Histogram), value);
    }

    pub(crate) fn observe_in(key: &Key, value: f64) {
        with_recorder(|to| to.register_histogram(key, &METADATA).record(value));
    }
}

#[cfg(not(feature = "metrics"))]
mod off {
    #[inline(always)]
    pub(crate) fn count<M>(_: M) {}

    #[inline(always)]
    pub(crate) fn add<M>(_: M, _: usize) {}

    #[inline(always)]
    pub(crate) fn set<M>(_: M, _: f64) {}

    #[cfg(feature = "redis")]
    #[inline(always)]
    pub(crate) fn observe<M>(_: M, _: f64) {}
}
