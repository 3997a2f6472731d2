//! How what comes back from a store is counted.
//! Floor 2.

use crate::session::error::{StoreError, StoreErrorKind};
use crate::session::save::SaveOutcome;
use crate::telemetry::names::{SessionLoads, SessionWrites};
use crate::telemetry::record::count;

/// A session that could not be read.
pub(crate) fn not_loaded(error: &StoreError) {
    count(match error.kind() {
        StoreErrorKind::Unavailable | StoreErrorKind::NewerFormat => SessionLoads::Unavailable,
        StoreErrorKind::OutcomeUnknown => SessionLoads::Unknown,
        StoreErrorKind::Corrupt => SessionLoads::Corrupt,
    });
}

/// A session that could not be written.
pub(crate) fn not_written(error: &StoreError) {
    count(match error.kind() {
        StoreErrorKind::Unavailable | StoreErrorKind::NewerFormat => SessionWrites::Unavailable,
        StoreErrorKind::OutcomeUnknown => SessionWrites::Unknown,
        StoreErrorKind::Corrupt => SessionWrites::Corrupt,
    });
}

/// A write that the store has answered.
pub(crate) fn saved(outcome: &SaveOutcome) {
    count(match outcome {
        SaveOutcome::Saved(_) => SessionWrites::Written,
        SaveOutcome::Conflict(_) => SessionWrites::Conflict,
        SaveOutcome::Absent | SaveOutcome::Superseded => SessionWrites::Gone,
        SaveOutcome::TooLarge => SessionWrites::TooLarge,
        SaveOutcome::NotInteger => SessionWrites::NotInteger,
    });
}
