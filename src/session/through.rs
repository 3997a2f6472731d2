//! Writing at once: increments, and updates that compare and set.
//! Floor 5.

use std::time::Duration;

use bytes::Bytes;

use crate::random;
use crate::session::change::ChangeSet;
use crate::session::core::Core;
use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::fields;
use crate::session::record::{SessionRecord, VERSION, Version};
use crate::session::save::{Plan, SaveOutcome};
use crate::session::state::Known;
use crate::session::terms::AS_THEY_ARE;
use crate::session::write::Target;

/// How often an update is tried against others before it gives up.
const TRIES: u32 = 64;

/// Makes a field's new value of its old one.
pub(crate) type Compute<'a> =
    dyn FnMut(Option<Bytes>) -> Result<Option<Bytes>, SessionError> + Send + 'a;

impl Core {
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
            let saved = self.save(&AS_THEY_ARE, &token, &changes, Version::next(), plan, None);
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
            let version = Version::next();
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
                // Up to a quarter of a second, or all come back within one slow round trip.
                let most_ms = 1 << tried.min(8);
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
}

/// What the handle reads from now on. It keeps the old version: others may have written between,
/// and a later save must find that out.
fn with_sum(record: &SessionRecord, changes: &ChangeSet, name: &str, sum: i64) -> SessionRecord {
    let mut seen = changes.clone();
    seen.put(name, Some(sum.to_string().into()));
    record.with(&[], &seen.merge_into(record.fields()))
}
