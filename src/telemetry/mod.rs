//! Metrics.

#[cfg(feature = "metrics")]
mod describe;
#[cfg(feature = "metrics")]
mod described;
pub(crate) mod drain_marks;
pub(crate) mod lock_meter;
pub(crate) mod names;
pub(crate) mod record;
mod shape;
pub(crate) mod stopwatch;

#[cfg(feature = "metrics")]
pub use describe::describe;
