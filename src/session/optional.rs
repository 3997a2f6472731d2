//! Sessions that a handler can do without.
//! Floor 5.

use crate::session::handle::Session;

impl Session {
    /// A handle for who can do without the session: `None` where the store cannot tell now
    /// whether there is one. Never an empty session in its place.
    ///
    /// The fields set through it are written where they can be: where the store is away at the
    /// commit, the handler's response stands, without a cookie
    /// ([`CommitOutcome::Unavailable`](crate::session::CommitOutcome::Unavailable)). What is set
    /// through another handle of the request is required all the same, and so is, through any of
    /// them, what changes the session itself: a login, a rotation, time-outs, a label. Then the
    /// answer is 503. In axum, `Option<Session>` is such a handle.
    ///
    /// Costs the read that the first `get` would have cost. Dropped, it has read nothing or
    /// everything.
    ///
    /// ```
    /// use tower_handoff::session::{Session, SessionError};
    ///
    /// /// The page is shown with or without its greeting.
    /// async fn greeting(session: &Session) -> Result<Option<String>, SessionError> {
    ///     let Some(session) = session.optional().await else { return Ok(None) };
    ///     session.set("greeted", &true)?;
    ///     session.get("name").await
    /// }
    /// ```
    pub async fn optional(&self) -> Option<Self> {
        match self.core().load().await {
            Err(error) if error.is_unavailable() => None,
            // What is damaged, each operation says for itself.
            _ => Some(self.clone().into_optional()),
        }
    }
}
