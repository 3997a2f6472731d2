//! The keys of the metrics that locks have, by their names.
//!
//! Floor 0.

use std::sync::{Mutex, PoisonError};

use metrics::Key;

use crate::telemetry::names::ALL;
use crate::telemetry::record::touch;

/// Of one name, in the order of `ALL`; none for a metric that locks do not have.
#[derive(PartialEq, Eq)]
pub(crate) struct LockKeys {
    pub(crate) name: &'static str,
    pub(crate) of: Vec<Box<[Key]>>,
}

/// Made once for each name, and kept: names are literals, so there are few.
static KNOWN: Mutex<Vec<&'static LockKeys>> = Mutex::new(Vec::new());

impl LockKeys {
    pub(crate) fn named(name: &'static str) -> &'static Self {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = known.iter().find(|keys| keys.name == name) {
            return keys;
        }
        let of = ALL.iter().map(|(metric, _)| match metric.of_each_lock {
            true => metric.keys(Some(name)),
            false => Box::default(),
        });
        let of = of.collect();
        let keys: &'static Self = Box::leak(Box::new(Self { name, of }));
        keys.touch();
        known.push(keys);
        keys
    }

    /// See [`touch`].
    fn touch(&self) {
        for ((metric, _), keys) in ALL.iter().zip(&self.of) {
            touch(metric.kind, keys);
        }
    }
}

/// All names that there are are made known to the recorder.
pub(crate) fn touch_all() {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.iter().for_each(|keys| keys.touch());
}
