//! What is said of a metric, and the keys under which recorders know it.
//!
//! Floor 0.

use metrics::{Key, Label, Unit};

/// A metric as recorders and readers see it.
pub(crate) struct Described {
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) help: &'static str,
    /// Empty where it has none; the values are then one, and empty.
    pub(super) label: &'static str,
    pub(super) values: &'static [&'static str],
    /// Whether the lock's name is a label besides.
    pub(super) of_each_lock: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// An enum that is a metric.
pub(crate) trait Metric: Copy {
    const DESCRIBED: &'static Described;
    /// Where it is in the list of all.
    const PLACE: usize;

    fn index(self) -> usize;

    /// Made at the first use, one for each value; not those of a lock.
    fn keys() -> &'static [Key];
}

impl Described {
    /// One for each value of the label.
    pub(super) fn keys(&self, lock: Option<&'static str>) -> Box<[Key]> {
        let of = |value: &&'static str| {
            let lock = lock.map(|name| Label::from_static_parts("lock", name));
            let own = (!self.label.is_empty()).then(|| Label::from_static_parts(self.label, value));
            let labels: Vec<_> = lock.into_iter().chain(own).collect();
            Key::from_parts(self.name, labels)
        };
        self.values.iter().map(of).collect()
    }
}
