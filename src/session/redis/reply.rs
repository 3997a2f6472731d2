//! What the scripts' replies and Redis's errors mean for a store.
//! Floor 4.

use crate::redis::error::{RedisError, RedisErrorKind};
use crate::session::error::{StoreError, StoreErrorKind};

/// The scripts' word for a session that is not there.
pub(super) const ABSENT: i64 = 2;

/// A code that stands for an error.
pub(super) fn refused(code: i64) -> StoreError {
    match code {
        6 => StoreError::new(StoreErrorKind::NewerFormat),
        7 => StoreError::new(StoreErrorKind::Corrupt),
        _ => surprise(),
    }
}

/// A reply that none of the scripts sends: something between here and Redis changes replies.
pub(super) fn surprise() -> StoreError {
    StoreError::new(StoreErrorKind::OutcomeUnknown).with_source("a reply of an unexpected type")
}

pub(super) fn store_error(error: RedisError) -> StoreError {
    let kind = match error.kind() {
        RedisErrorKind::Unknown => StoreErrorKind::OutcomeUnknown,
        // Another kind of value lies under the session's key.
        RedisErrorKind::Refused if error.to_string().contains("WRONGTYPE") => {
            StoreErrorKind::Corrupt
        }
        // Loading, read-only, out of memory: nothing was done.
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind).with_source(error)
}
