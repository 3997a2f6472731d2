//! How a key came to the one who holds it.
//!
//! Floor 1.

use crate::telemetry::names::LockGrants;

/// How a grant came to its claim. Operators find it as `path` in the metrics and in the span of the
/// acquisition: see [seen from outside](crate::lock#seen-from-outside).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GrantPath {
    /// Nobody held the key when the backend was asked: with Redis one script, one round trip.
    #[default]
    Free,
    /// Somebody in this process let go, and the next one here had the key at once: no round trip.
    Local,
    /// It stood in the backend's line until its turn came: with Redis that of all processes, woken by
    /// a message or by another look; in memory behind a holder whose lease ran out.
    Queued,
}

impl GrantPath {
    pub(crate) fn counted(self) -> LockGrants {
        match self {
            Self::Free => LockGrants::Free,
            Self::Local => LockGrants::Local,
            Self::Queued => LockGrants::Queued,
        }
    }
}
