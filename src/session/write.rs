//! Writing for one request: what the commit builds on, and every operation that writes at its await.
//! Floor 5.

use tokio::sync::MutexGuard;

use crate::session::change::ChangeSet;
use crate::session::core::Core;
use crate::session::counted::{not_written, saved};
use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::record::{SessionRecord, Version};
use crate::session::save::{NewSession, Plan, Save, SaveOutcome};
use crate::session::state::{Announce, Known};
use crate::session::terms::Terms;
use crate::session::token::Token;
use crate::telemetry::names::{SessionWrites, Sessions};
use crate::telemetry::record::count;

/// An operation that writes at its await: the response waits for it.
pub(crate) struct Writing<'a>(&'a Core);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.state().writing -= 1;
    }
}

/// Where a write would go.
pub(crate) enum Target {
    Nobody,
    Gone,
    Session {
        token: Token,
        record: Option<SessionRecord>,
        /// It was there when we looked.
        was_live: bool,
    },
}

impl Core {
    /// The turn of an operation that writes at its await. The mark goes before the turn does, so
    /// that whoever finds none finds what was written.
    pub(crate) async fn turn_to_write(
        &self,
    ) -> Result<(Writing<'_>, MutexGuard<'_, ()>), SessionError> {
        let turn = self.turn().await?;
        Ok((self.writing()?, turn))
    }

    pub(crate) fn writing(&self) -> Result<Writing<'_>, SessionError> {
        let mut state = self.state();
        state.check_open()?;
        state.writing += 1;
        Ok(Writing(self))
    }

    /// The session to write to, and what the handle has not written yet. The caller has the turn.
    pub(crate) async fn target(&self) -> Result<(Target, ChangeSet), SessionError> {
        let unsure = matches!(
            self.state().known(&self.options.transport),
            Known::Several(_) | Known::Rotating
        );
        if unsure {
            self.load_in_turn().await?;
        }
        let mut state = self.state();
        let detached = state.detached;
        let target = match state.known(&self.options.transport) {
            Known::Claimed(token) => Target::Session {
                token: *token,
                record: None,
                was_live: false,
            },
            Known::Live(token, record) => Target::Session {
                token: *token,
                record: record.clone(),
                was_live: true,
            },
            Known::Nobody if !detached => Target::Nobody,
            Known::Nobody
            | Known::Gone
            | Known::Unread(_)
            | Known::Several(_)
            | Known::Rotating => Target::Gone,
        };
        Ok((target, state.pending.clone()))
    }

    /// Stores a new session under a new token, which the response will hand out.
    pub(crate) async fn create(
        &self,
        terms: &Terms,
        fields: &[u8],
        written: &ChangeSet,
    ) -> Result<(), SessionError> {
        let options = &*self.options;
        if fields.len() > options.limits.session() {
            count(SessionWrites::TooLarge);
            return Err(SessionErrorKind::TooLarge.into());
        }
        let token = Token::random();
        let new = NewSession {
            verifier: token.hash(),
            version: Version::next(),
            expiry: terms.expiry.unwrap_or(options.expiry),
            terms,
            fields,
        };
        let created = options.store.create(token.id(), &new).await;
        if !created.inspect_err(not_written)? {
            // 128 random bits do not meet by chance: the store is not what it should be.
            return Err(SessionErrorKind::Unavailable.into());
        }
        count(SessionWrites::Written);
        count(Sessions::Created);
        let record = new.record(options.store.now_ms());
        let mut state = self.state();
        state.pending.settle(written);
        state.known = Known::Live(token, Some(record));
        let persistent = terms.persistent.flatten();
        state.announce = Announce::Token(token, new.expiry.absolute_ms(), persistent);
        Ok(())
    }

    pub(crate) async fn save(
        &self,
        terms: &Terms,
        token: &Token,
        changes: &ChangeSet,
        version: Version,
        plan: Plan<'_>,
        rotate_to: Option<&Token>,
    ) -> Result<SaveOutcome, SessionError> {
        let save = Save {
            verifier: token.hash(),
            version,
            changes,
            plan,
            rotate_to: rotate_to.map(Token::hash),
            terms,
            limit: self.options.limits.session(),
        };
        let answer = self.options.store.save(token.id(), &save).await;
        match answer.inspect(saved).inspect_err(not_written) {
            Err(error) if self.options.undecodable.passes_over(&error, token.id()) => {
                Ok(SaveOutcome::Absent)
            }
            result => Ok(result?),
        }
    }

    /// The session that was there is not any more; not under this token, at least.
    pub(crate) fn gone(&self) -> SessionErrorKind {
        let mut state = self.state();
        if state.unanswered.is_some() {
            // The rotation came late.
            state.known = Known::Rotating;
            return SessionErrorKind::Unavailable;
        }
        state.known = Known::Gone;
        state.announce = Announce::Nothing;
        SessionErrorKind::Gone
    }

    /// What a save that was not written means for the handle.
    pub(crate) fn refused(&self, outcome: &SaveOutcome) -> SessionErrorKind {
        match outcome {
            SaveOutcome::Absent | SaveOutcome::Superseded => self.gone(),
            SaveOutcome::TooLarge => SessionErrorKind::TooLarge,
            SaveOutcome::NotInteger => SessionErrorKind::NotInteger,
            SaveOutcome::Conflict(_) | SaveOutcome::Saved(_) => SessionErrorKind::Contended,
        }
    }
}
