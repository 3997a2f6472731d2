//! Telling the recorder what the metrics are.
//!
//! Floor 0.

use metrics::{KeyName, with_recorder};

use crate::telemetry::described::{Described, Kind};
use crate::telemetry::lock_keys::touch_all;
use crate::telemetry::names::ALL;
use crate::telemetry::record::touch;

/// Tells the installed recorder unit and help of every metric, and of every counter that it
/// exists: a counter that first shows up as 1 hides that it grew.
///
/// To be called once, right after the recorder was installed and before anything else of this
/// crate is used: what is recorded without a recorder is lost. Without one it does nothing.
///
/// ```
/// // let recorder = …; metrics::set_global_recorder(recorder)?;
/// tower_handoff::telemetry::describe();
/// ```
pub fn describe() {
    for (metric, keys) in ALL {
        let Described {
            kind,
            name,
            unit,
            help,
            ..
        } = **metric;
        let name = KeyName::from_const_str(name);
        with_recorder(|to| match kind {
            Kind::Counter => to.describe_counter(name, Some(unit), help.into()),
            Kind::Gauge => to.describe_gauge(name, Some(unit), help.into()),
            Kind::Histogram => to.describe_histogram(name, Some(unit), help.into()),
        });
        if !metric.of_each_lock {
            touch(kind, keys());
        }
    }
    touch_all();
}
