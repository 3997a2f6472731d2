//! Ending a session.
//! Floor 5.

use crate::session::core::Core;
use crate::session::error::SessionError;
use crate::session::state::{Announce, Known};
use crate::session::write::Target;
use crate::telemetry::names::Sessions;
use crate::telemetry::record::count;

impl Core {
    /// Deletes the session. What was to be written to it is forgotten at once, what is said from
    /// then on is for the session after it.
    ///
    /// It is the caller who sees to it that this is not dropped before the answer came.
    pub(crate) async fn destroy(&self) -> Result<bool, SessionError> {
        let _writing = self.writing()?;
        self.state().discard();
        let _turn = self.turn().await?;
        let (target, _) = self.target().await?;
        let destroyed = match &target {
            Target::Session { token, .. } => {
                let store = &self.options.store;
                match store.destroy(token.id(), &token.hash()).await {
                    Err(error) if self.options.undecodable.passes_over(&error, token.id()) => false,
                    result => result?,
                }
            }
            Target::Nobody | Target::Gone => false,
        };
        let mut state = self.state();
        match target {
            _ if destroyed => {
                count(Sessions::Destroyed);
                state.unanswered = None;
                state.known = Known::Nobody;
                state.announce = Announce::Removal;
            }
            // Somebody else ended it: this request does not start another one.
            Target::Gone | Target::Session { was_live: true, .. } => {
                state.known = Known::Gone;
                state.announce = Announce::Nothing;
            }
            // Whether the token is a stranger's or was valid a moment ago, a later write finds out.
            Target::Nobody | Target::Session { .. } => {}
        }
        Ok(destroyed)
    }
}
