//! Writing for one request: what acts at its await, and what both it and the commit build on.
//! Floor 5.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::MutexGuard;

use crate::random;
use crate::session::change::ChangeSet;
use crate::session::core::Core;
use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::fields;
use crate::session::record::{SessionRecord, VERSION, Version};
use crate::session::save::{NewSession, Plan, Save, SaveOutcome};
use crate::session::state::{Announce, Known};
use crate::session::terms::{AS_THEY_ARE, Terms};
use crate::session::token::Token;

/// How often an update is tried against others before it gives up.
const TRIES: u32 = 64;

/// Makes a field's new value of its old one.
pub(crate) type Compute<'a> =
    dyn FnMut(Option<Bytes>) -> Result<Option<Bytes>, SessionError> + Send + 'a;

/// The turn of an operation that writes at its await.
pub(crate) struct Writing<'a> {
    core: &'a Core,
    _turn: MutexGuard<'a, ()>,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.core.state().writing = false;
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
    async fn turn_to_write(&self) -> Result<Writing<'_>, SessionError> {
        let turn = self.turn.lock().await;
        let mut state = self.state();
        state.check_open()?;
        state.writing = true;
        Ok(Writing {
            core: self,
            _turn: turn,
        })
    }

    /// The session to write to, and what the handle has not written yet. The caller has the turn.
    pub(crate) async fn target(&self) -> Result<(Target, ChangeSet), SessionError> {
        let several = matches!(
            self.state().known(&self.options.transport),
            Known::Several(_)
        );
        if several {
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
            Known::Nobody | Known::Gone | Known::Unread(_) | Known::Several(_) => Target::Gone,
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
            return Err(SessionErrorKind::TooLarge.into());
        }
        let token = Token::random();
        let new = NewSession {
            verifier: token.hash(),
            version: Version::random(),
            expiry: terms.expiry.unwrap_or(options.expiry),
            terms,
            fields,
        };
        if !options.store.create(token.id(), &new).await? {
            // 128 random bits do not meet by chance: the store is not what it should be.
            return Err(SessionErrorKind::Unavailable.into());
        }
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
        match self.options.store.save(token.id(), &save).await {
            Err(error) if self.options.undecodable.passes_over(&error, token.id()) => {
                Ok(SaveOutcome::Absent)
            }
            result => Ok(result?),
        }
    }

    /// The session that was there is not any more.
    pub(crate) fn gone(&self) -> SessionErrorKind {
        let mut state = self.state();
        state.known = Known::Gone;
        state.announce = Announce::Nothing;
        SessionErrorKind::Gone
    }

    /// Adds to a number in one command, wherever the session is.
    ///
    /// Dropped before the answer came: the addition may have happened.
    pub(crate) async fn increment(&self, name: &str, by: i64) -> Result<i64, SessionError> {
        let _turn = self.turn_to_write().await?;
        let (target, changes) = self.target().await?;
        if let Target::Session {
            token,
            record,
            was_live,
        } = target
        {
            let plan = Plan::Add { name, by };
            let saved = self.save(
                &AS_THEY_ARE,
                &token,
                &changes,
                Version::random(),
                plan,
                None,
            );
            match saved.await? {
                SaveOutcome::Saved(saved) => {
                    let sum = saved.sum.ok_or(SessionErrorKind::OutcomeUnknown)?;
                    let record = record.map(|record| with_sum(&record, &changes, name, sum));
                    let mut state = self.state();
                    state.pending.settle(&changes);
                    state.known = Known::Live(token, record);
                    return Ok(sum);
                }
                SaveOutcome::Absent if !was_live => self.state().known = Known::Nobody,
                refused => return Err(self.refused(&refused).into()),
            }
        } else if matches!(target, Target::Gone) {
            return Err(SessionErrorKind::Gone.into());
        }
        let fields = changes.merge_into(&[]);
        let (fields, sum) = fields::add(&fields, name, by).ok_or(SessionErrorKind::NotInteger)?;
        self.create(&AS_THEY_ARE, &fields, &changes).await?;
        Ok(sum)
    }

    /// Compares and sets one field until nobody comes between.
    ///
    /// Dropped before the answer came: the last try may have been written.
    pub(crate) async fn update(
        &self,
        name: &str,
        compute: &mut Compute<'_>,
    ) -> Result<(), SessionError> {
        let _turn = self.turn_to_write().await?;
        self.load_in_turn().await?;
        for tried in 0..TRIES {
            let (target, changes) = self.target().await?;
            let (token, record) = match target {
                Target::Nobody => return self.update_nobody(name, &changes, compute).await,
                Target::Session {
                    token,
                    record: Some(record),
                    ..
                } => (token, record),
                Target::Gone | Target::Session { .. } => return Err(SessionErrorKind::Gone.into()),
            };
            let old = match changes.get(name) {
                Some(pending) => pending.cloned(),
                None => record.field(name),
            };
            let mut next = changes.clone();
            next.put(name, compute(old)?);
            let plan = Plan::ReplaceOrReport(&record);
            let version = Version::random();
            match self
                .save(&AS_THEY_ARE, &token, &next, version, plan, None)
                .await?
            {
                SaveOutcome::Saved(_) => {
                    let whole = next.merge_into(record.fields());
                    let record = record.with(&[(VERSION, version.as_bytes())], &whole);
                    let mut state = self.state();
                    state.pending.settle(&changes);
                    state.known = Known::Live(token, Some(record));
                    return Ok(());
                }
                SaveOutcome::Conflict(record) => {
                    self.state().known = Known::Live(token, Some(record));
                }
                refused => return Err(self.refused(&refused).into()),
            }
            if tried > 2 {
                let most_ms = 1 << tried.min(5);
                tokio::time::sleep(Duration::from_millis(random::below(most_ms))).await;
            }
        }
        Err(SessionErrorKind::Contended.into())
    }

    async fn update_nobody(
        &self,
        name: &str,
        changes: &ChangeSet,
        compute: &mut Compute<'_>,
    ) -> Result<(), SessionError> {
        let mut next = changes.clone();
        next.put(name, compute(changes.get(name).flatten().cloned())?);
        if !next.sets_any() {
            return Ok(());
        }
        self.create(&AS_THEY_ARE, &next.merge_into(&[]), changes)
            .await
    }

    /// Deletes the session and forgets what was to be written to it.
    ///
    /// Dropped before the answer came: the session may be deleted.
    pub(crate) async fn destroy(&self) -> Result<bool, SessionError> {
        let _turn = self.turn_to_write().await?;
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
        state.discard();
        match target {
            _ if destroyed => {
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

/// What the handle reads from now on. It keeps the old version: others may have written between,
/// and a later save must find that out.
fn with_sum(record: &SessionRecord, changes: &ChangeSet, name: &str, sum: i64) -> SessionRecord {
    let mut seen = changes.clone();
    seen.put(name, Some(sum.to_string().into()));
    record.with(&[], &seen.merge_into(record.fields()))
}
