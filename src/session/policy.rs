//! What a request does that cannot have its session.
//! Floor 1.

use std::time::Duration;

use tracing::warn;

use crate::session::error::{StoreError, StoreErrorKind};
use crate::session::id::SessionId;

/// When to come back after the store was away: so long, and up to as long again.
pub(crate) const RETRY: Duration = Duration::from_secs(2);

/// What becomes of stored bytes that cannot be read: of a field that is not of the type asked for,
/// of a record that is no session at all.
///
/// Either way reading changes nothing in the store. What a newer version wrote is not meant: that
/// is unavailable, never passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Undecodable {
    /// As though it were not there: a field is `None`, a record is no session. A warning in the
    /// log names it. The next write of the field replaces it; whoever writes under such a record
    /// gets a fresh session. The default, so that a mistake of one version does not lock its
    /// users out of the next one.
    #[default]
    Discard,
    /// An error of the operation, [`Decode`](crate::session::SessionErrorKind::Decode) or
    /// [`Corrupt`](crate::session::SessionErrorKind::Corrupt), for as long as it lies there. The
    /// handler decides; a commit under a corrupt record answers 503.
    Error,
}

impl Undecodable {
    /// Whether a store's complaint about this session's record is to be passed over.
    pub(crate) fn passes_over(self, error: &StoreError, id: &SessionId) -> bool {
        let passed = self == Self::Discard && error.kind() == StoreErrorKind::Corrupt;
        if passed {
            warn!(session = %id, "what is stored is no session; passed over");
        }
        passed
    }
}
