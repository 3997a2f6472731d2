//! What the layer does with a request's session once the handler has answered.
//! Floor 5.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::sync::MutexGuard;

use crate::session::change::ChangeSet;
use crate::session::core::Core;
use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::record::Version;
use crate::session::save::{Plan, SaveOutcome};
use crate::session::state::{Announce, Known};
use crate::session::terms::Terms;
use crate::session::write::Target;

/// What became of a request's changes to its session.
///
/// Found in the extensions of the response, where there was anything to commit. A commit that
/// failed answers with a [`Refusal`](crate::Refusal) instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommitOutcome {
    /// Everything is written.
    Written,
    /// Nothing is written and no cookie sent: the session was destroyed, rotated or expired
    /// while the handler ran. The handler's response stands.
    Gone,
    /// Nothing is written, because of the response's status.
    Discarded,
    /// The store was away or did not answer, and the handler can do without its session
    /// ([`Session::optional`](crate::session::Session::optional)). The handler's response stands;
    /// what it set may be written, and most likely is not.
    Unavailable,
}

/// What a request has left to do when its handler has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// What was set and not written.
    ToWrite,
    /// An operation that a clone has begun, or a rotation that the store has not answered;
    /// perhaps something to write besides.
    UnderWay,
}

impl Core {
    /// Ends writing through the handle, and says what is left to do.
    pub(crate) fn seal(&self) -> Left {
        let mut state = self.state();
        state.sealed = true;
        match (state.is_under_way(), state.is_dirty()) {
            (true, _) => Left::UnderWay,
            (false, true) => Left::ToWrite,
            (false, false) => Left::Nothing,
        }
    }

    /// Writes what the handler left to be written. The handle is sealed.
    pub(crate) async fn commit(&self) -> Result<Option<CommitOutcome>, SessionError> {
        let _turn = self.turn_to_commit().await?;
        self.commit_or_again().await
    }

    /// Waits for what is under way, whose cookie the response needs, and writes nothing more. The
    /// handle is sealed, and the response is a failure already: it stands.
    pub(crate) async fn discard(&self) -> Option<CommitOutcome> {
        let turn = self.turn_to_commit().await;
        let outcome = {
            let mut state = self.state();
            let outcome = state.is_dirty().then_some(CommitOutcome::Discarded);
            state.discard();
            outcome
        };
        // A rotation that was to be saved and may have been.
        if turn.is_ok() {
            let _ = self.commit_or_again().await;
        }
        outcome
    }

    async fn commit_or_again(&self) -> Result<Option<CommitOutcome>, SessionError> {
        {
            let state = self.state();
            if !state.is_dirty() && state.unanswered.is_none() {
                return Ok(None);
            }
        }
        match self.commit_in_turn().await {
            // Nobody else will ever tell the browser which of its tokens is good.
            Err(_) if self.state().unanswered.is_some() => {
                let again = self.commit_in_turn().await;
                if self.state().unanswered.is_some() {
                    let _ = self.load_in_turn().await;
                }
                again
            }
            result => result,
        }
    }

    /// Writes what is to be written now, through a handle that stays open.
    ///
    /// Dropped before the answer came: it may be written, and is written again with the next write.
    pub(crate) async fn write_now(&self) -> Result<(), SessionError> {
        let _turn = self.turn_to_write().await?;
        let dirty = self.state().is_dirty();
        if dirty && self.commit_in_turn().await? == Some(CommitOutcome::Gone) {
            return Err(SessionErrorKind::Gone.into());
        }
        Ok(())
    }

    async fn commit_in_turn(&self) -> Result<Option<CommitOutcome>, SessionError> {
        let (target, changes) = self.target().await?;
        let (terms, rotate) = {
            let state = self.state();
            let terms = state.terms.clone().resolved(self.options.expiry);
            // Whoever logs in gets a new secret, also where a clone says so during another rotation.
            let rotate = state.rotate || terms.user.is_some() || state.unanswered.is_some();
            (terms, rotate)
        };
        let (token, record, was_live) = match target {
            Target::Nobody => return self.commit_new(&terms, &changes).await,
            Target::Gone => return Ok(Some(CommitOutcome::Gone)),
            Target::Session {
                token,
                record,
                was_live,
            } => (token, record, was_live),
        };
        let next = rotate.then(|| self.next(&token));
        let plan = record.as_ref().map_or(Plan::Merge, Plan::ReplaceOrMerge);
        let version = Version::next();
        let save = self.save(&terms, &token, &changes, version, plan, next.as_ref());
        let outcome = match next {
            Some(next) => self.rotating(token, next, &terms, save).await?,
            None => save.await?,
        };
        match outcome {
            SaveOutcome::Saved(saved) => {
                let mut state = self.state();
                state.pending.settle(&changes);
                state.unacknowledged = false;
                let tells = terms.change_cookie() && self.options.transport.tells_lifetime();
                if next.is_some() || tells {
                    let token = next.unwrap_or(token);
                    state.announce = Announce::Token(token, saved.lifetime_ms, saved.persistent);
                }
                if next.is_some() {
                    state.rotate = false;
                }
                state.terms.settle(&terms);
                // Others may have written between: whoever reads on reads again.
                state.known = Known::Live(next.unwrap_or(token), None);
                Ok(Some(CommitOutcome::Written))
            }
            SaveOutcome::Absent if !was_live => {
                self.state().known = Known::Nobody;
                self.commit_new(&terms, &changes).await
            }
            refused => match self.refused(&refused) {
                SessionErrorKind::Gone => Ok(Some(CommitOutcome::Gone)),
                kind => Err(kind.into()),
            },
        }
    }

    /// A clone may be in the middle of an operation: it settles what it wrote first.
    async fn turn_to_commit(&self) -> Result<MutexGuard<'_, ()>, SessionError> {
        let turn = self.turn().await;
        if turn.is_err() {
            // Nobody said that the request can do without what is under way.
            self.state().required = true;
        }
        turn
    }

    /// A session of its own for a request that has none, where it sets a field or logs in.
    async fn commit_new(
        &self,
        terms: &Terms,
        changes: &ChangeSet,
    ) -> Result<Option<CommitOutcome>, SessionError> {
        if !changes.sets_any() && !terms.bind() {
            return Ok(None);
        }
        let fields = changes.merge_into(&[]);
        self.create(terms, &fields, changes).await?;
        let mut state = self.state();
        state.terms.settle(terms);
        // Its secret is fresh: another one would shut out a handle that was detached meanwhile.
        state.rotate = false;
        Ok(Some(CommitOutcome::Written))
    }

    /// What the response tells the client about its token, if anything.
    pub(crate) fn take_announcement(&self) -> Option<(HeaderName, HeaderValue)> {
        let transport = &self.options.transport;
        let announce = std::mem::replace(&mut self.state().announce, Announce::Nothing);
        match announce {
            Announce::Nothing => None,
            Announce::Token(token, ms, persistent) => {
                transport.set(&token, Duration::from_millis(ms), persistent)
            }
            Announce::Removal => transport.remove(),
        }
    }
}
