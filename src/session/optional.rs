//! Sessions that a handler can do without.
//! Floor 5.

use crate::session::handle::Session;

impl Session {
    /// The session, for a handler that can do without: `None` where the store cannot tell now
    /// whether there is one. Never an empty session in its place.
    ///
    /// From then on the store does not fail this request: where it is away at the commit, the
    /// handler's response stands, without a cookie
    /// ([`CommitOutcome::Unavailable`](crate::session::CommitOutcome::Unavailable)). Without
    /// this call the session is required: 503. In axum, a handler that takes an `Option<Session>`
    /// has called it.
    ///
    /// Costs the read that the first `get` would have cost.
    pub async fn optional(&self) -> Option<&Self> {
        self.core().state().optional = true;
        match self.core().load().await {
            Err(error) if error.is_unavailable() => None,
            // What is damaged, each operation says for itself.
            _ => Some(self),
        }
    }
}
