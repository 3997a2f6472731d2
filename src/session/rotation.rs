//! A rotation between the command and its answer: the one write after which a browser that hears
//! nothing holds a cookie that is good for nothing.
//! Floor 5.

use crate::session::core::Core;
use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::save::SaveOutcome;
use crate::session::state::Known;
use crate::session::token::Token;

impl Core {
    /// Sends a save that rotates. The caller has the turn.
    ///
    /// Dropped, or failed without an answer, it leaves both tokens behind, and whoever needs the
    /// session next asks the store which of them is good.
    pub(crate) async fn rotating(
        &self,
        before: Token,
        after: Token,
        save: impl Future<Output = Result<SaveOutcome, SessionError>>,
    ) -> Result<SaveOutcome, SessionError> {
        let known = {
            let mut state = self.state();
            let was_live = matches!(state.known, Known::Live(..));
            let unsure = Known::Rotating {
                after,
                before,
                was_live,
            };
            std::mem::replace(&mut state.known, unsure)
        };
        let result = save.await;
        let unanswered = |error: &SessionError| error.kind() == SessionErrorKind::OutcomeUnknown;
        if !result.as_ref().is_err_and(unanswered) {
            self.state().known = known;
        }
        result
    }

    /// Finds out what became of a rotation that was not answered, so that the response carries
    /// its token. The caller has the turn.
    pub(crate) async fn settle_rotation(&self) -> Result<(), SessionError> {
        if self.state().is_rotating() {
            self.load_in_turn().await?;
        }
        Ok(())
    }
}
