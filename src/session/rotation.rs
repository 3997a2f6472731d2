//! A rotation between the command and its answer: the one write after which a browser that hears
//! nothing holds a cookie that opens nothing.
//! Floor 5.

use crate::session::core::Core;
use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::save::SaveOutcome;
use crate::session::state::{Known, Rotation};
use crate::session::terms::Terms;
use crate::session::token::Token;
use crate::telemetry::names::Sessions;
use crate::telemetry::record::count;

impl Core {
    /// The token to rotate to: the same one again where that was not answered, so that it does not
    /// matter which of the two commands the store carries out.
    pub(crate) fn next(&self, token: &Token) -> Token {
        match &self.state().unanswered {
            Some(sent) if sent.before.hash() == token.hash() => sent.after,
            _ => token.rotated(),
        }
    }

    /// Sends a save that rotates. The caller has the turn.
    ///
    /// Dropped, or failed without an answer, it leaves both tokens behind, and whoever needs the
    /// session next asks the store which of them opens it.
    pub(crate) async fn rotating(
        &self,
        before: Token,
        after: Token,
        terms: &Terms,
        save: impl Future<Output = Result<SaveOutcome, SessionError>>,
    ) -> Result<SaveOutcome, SessionError> {
        let (known, unanswered) = {
            let mut state = self.state();
            let sent = Rotation {
                before,
                after,
                terms: terms.clone(),
                was_live: matches!(state.known, Known::Live(..)),
            };
            let known = std::mem::replace(&mut state.known, Known::Rotating);
            (known, state.unanswered.replace(sent))
        };
        let result = save.await;
        let mut state = self.state();
        match &result {
            Err(error) if error.kind() == SessionErrorKind::OutcomeUnknown => {}
            Ok(SaveOutcome::Saved(_)) => {
                count(Sessions::Rotated);
                state.unanswered = None;
            }
            // Nothing was done now. An earlier command may still come.
            _ => {
                state.known = known;
                state.unanswered = unanswered;
            }
        }
        drop(state);
        result
    }
}
