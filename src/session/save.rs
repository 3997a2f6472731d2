//! What is to be written to a session that exists, and the one definition of what that means.
//! Floor 1.

use crate::session::change::ChangeSet;
use crate::session::expiry::{SessionExpiry, renewal_is_due};
use crate::session::fields;
use crate::session::head::HEADER;
use crate::session::record::{
    CREATED, CURRENT, DEADLINE, IDLE, PREVIOUS, ROTATED, SEEN, SessionRecord, VERSION, Verdict,
    Version,
};
use crate::session::terms::Terms;
use crate::session::token::VerifierHash;

/// A write to a session that exists: which fields change, and what else.
///
/// A store that can run Rust inside its transaction needs nothing but [`apply`](Self::apply).
#[derive(Clone)]
pub struct Save<'a> {
    /// Digest of the verifier that the request presented.
    pub(crate) verifier: VerifierHash,
    /// The session's version afterwards.
    pub(crate) version: Version,
    pub(crate) changes: &'a ChangeSet,
    pub(crate) plan: Plan<'a>,
    /// Digest of the verifier that is valid from now on.
    pub(crate) rotate_to: Option<VerifierHash>,
    /// What changes of the session itself.
    pub(crate) terms: &'a Terms,
    /// The most bytes that the fields may take.
    pub(crate) limit: usize,
}

/// How the changes reach the fields.
#[derive(Clone, Copy)]
pub(crate) enum Plan<'a> {
    /// Merge them into whatever is there.
    Merge,
    /// Merge them. The session was this when it was read: where it still is, the store may
    /// replace it by [`Save::whole`], which comes to the same and costs less.
    #[cfg_attr(
        not(feature = "redis"),
        allow(dead_code, reason = "only Redis replaces")
    )]
    ReplaceOrMerge(&'a SessionRecord),
    /// Merge them if the session's version still is that of this one, else change nothing.
    ReplaceOrReport(&'a SessionRecord),
    /// Merge, then add to the number in a field.
    Add { name: &'a str, by: i64 },
}

/// What came of a [`Save`].
#[derive(Debug)]
#[non_exhaustive]
pub enum SaveOutcome {
    /// It is written.
    Saved(Saved),
    /// Nothing is written: the session is another one than the save was made for; here it is.
    Conflict(SessionRecord),
    /// Nothing is written: there is no such session, or the verifier is not its own.
    Absent,
    /// Nothing is written: the verifier was the session's until less than a minute ago.
    Superseded,
    /// Nothing is written: the session would grow past its limit.
    TooLarge,
    /// Nothing is written: the field to add to holds no integer, or the sum is out of range.
    NotInteger,
}

/// A save that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// Milliseconds until the session's absolute deadline.
    pub lifetime_ms: u64,
    /// What an addition came to.
    pub sum: Option<i64>,
    /// [`SessionRecord::persistent`], as it is now.
    pub persistent: Option<bool>,
}

impl Saved {
    /// A save that was written.
    #[must_use]
    pub fn new(lifetime_ms: u64, sum: Option<i64>, persistent: Option<bool>) -> Self {
        Self {
            lifetime_ms,
            sum,
            persistent,
        }
    }
}

impl Save<'_> {
    /// What this save makes of the session that is stored, and the record to store instead, if
    /// there is one.
    ///
    /// `current` is `None` where nothing is stored or what is has expired.
    #[must_use]
    pub fn apply(
        &self,
        current: Option<&SessionRecord>,
        now_ms: u64,
    ) -> (SaveOutcome, Option<SessionRecord>) {
        match self.outcome(current, now_ms) {
            Ok((record, sum)) => {
                let lifetime_ms = record.deadline_ms().saturating_sub(now_ms);
                let saved = Saved::new(lifetime_ms, sum, record.persistent());
                let saved = SaveOutcome::Saved(saved);
                (saved, Some(record))
            }
            Err(refused) => (refused, None),
        }
    }

    /// The bytes of `base`, the changes made, under the next version.
    #[cfg(feature = "redis")]
    pub(crate) fn whole(&self, base: &SessionRecord) -> Vec<u8> {
        let mut whole = self.changes.merge_behind(base.head(), base.fields());
        whole[VERSION..CURRENT].copy_from_slice(self.version.as_bytes());
        whole
    }

    /// Whether more than fields changes.
    pub(crate) fn is_special(&self) -> bool {
        self.rotate_to.is_some() || !self.terms.is_empty()
    }

    fn outcome(
        &self,
        current: Option<&SessionRecord>,
        now_ms: u64,
    ) -> Result<(SessionRecord, Option<i64>), SaveOutcome> {
        let record = current.ok_or(SaveOutcome::Absent)?;
        match record.verify(&self.verifier, now_ms) {
            Verdict::Current => {}
            Verdict::Superseded => return Err(SaveOutcome::Superseded),
            Verdict::Stranger => return Err(SaveOutcome::Absent),
        }
        let (fields, sum) = self.fields(record)?;
        // A session that a stricter limit found too large may still shrink.
        if fields.len() > self.limit && fields.len() > record.fields().len() {
            return Err(SaveOutcome::TooLarge);
        }
        Ok((self.record(record, &fields, now_ms), sum))
    }

    fn fields(&self, record: &SessionRecord) -> Result<(Vec<u8>, Option<i64>), SaveOutcome> {
        match self.plan {
            Plan::ReplaceOrReport(base) if base.version() != record.version() => {
                Err(SaveOutcome::Conflict(record.clone()))
            }
            Plan::Merge | Plan::ReplaceOrMerge(_) | Plan::ReplaceOrReport(_) => {
                Ok((self.changes.merge_into(record.fields()), None))
            }
            Plan::Add { name, by } => {
                let merged = self.changes.merge_into(record.fields());
                let (fields, sum) =
                    fields::add(&merged, name, by).ok_or(SaveOutcome::NotInteger)?;
                Ok((fields, Some(sum)))
            }
        }
    }

    fn record(&self, old: &SessionRecord, fields: &[u8], now_ms: u64) -> SessionRecord {
        debug_assert!(fields::is_sound(fields));
        let now = now_ms.to_be_bytes();
        let mut edits: Vec<(usize, &[u8])> = vec![(VERSION, self.version.as_bytes())];
        let previous = old.hash(CURRENT);
        if self.is_special() || renewal_is_due(old.seen_ms(), old.idle_ms(), now_ms) {
            edits.push((SEEN, &now));
        }
        if let Some(next) = &self.rotate_to {
            edits.extend([
                (CURRENT, &next.as_bytes()[..]),
                (PREVIOUS, previous.as_bytes()),
                (ROTATED, &now),
            ]);
        }
        let (idle, deadline);
        if let Some(expiry) = &self.terms.expiry {
            idle = expiry.idle_ms().to_be_bytes();
            deadline = now_ms.saturating_add(expiry.absolute_ms()).to_be_bytes();
            edits.extend([(IDLE, &idle[..]), (DEADLINE, &deadline)]);
        }
        if self.terms.bind() {
            edits.push((CREATED, &now));
        }
        debug_assert!(edits.iter().all(|(at, edit)| at + edit.len() <= HEADER));
        old.on(self.terms, &edits, fields)
    }
}

impl std::fmt::Debug for Save<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Save").finish_non_exhaustive()
    }
}

/// A session to create.
#[derive(Clone)]
pub struct NewSession<'a> {
    pub(crate) verifier: VerifierHash,
    pub(crate) version: Version,
    pub(crate) expiry: SessionExpiry,
    /// But for their time-outs.
    pub(crate) terms: &'a Terms,
    pub(crate) fields: &'a [u8],
}

impl NewSession<'_> {
    /// The record to store, begun now.
    #[must_use]
    pub fn record(&self, now_ms: u64) -> SessionRecord {
        SessionRecord::new(
            &self.verifier,
            self.version,
            &self.expiry,
            self.terms,
            self.fields,
            now_ms,
        )
    }
}

impl std::fmt::Debug for NewSession<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSession").finish_non_exhaustive()
    }
}
