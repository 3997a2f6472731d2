//! What became of a release.
//!
//! Floor 1.

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseOutcome {
    /// The key is free.
    Freed,
    /// The key went to the next in line.
    HandedOver,
    /// The lease had ended before: somebody else may have held the key meanwhile.
    LostBefore,
    /// The lock had been let go before.
    AlreadyReleased,
    /// The backend did not say. It is asked again in the background while the lease may last.
    Unknown,
}

impl ReleaseOutcome {
    /// The one of two to tell of.
    pub(crate) fn worse(self, other: Self) -> Self {
        let rank = |outcome| match outcome {
            Self::Freed => 0,
            Self::HandedOver => 1,
            Self::AlreadyReleased => 2,
            Self::LostBefore => 3,
            Self::Unknown => 4,
        };
        if rank(other) > rank(self) {
            other
        } else {
            self
        }
    }
}
