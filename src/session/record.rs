//! A session as it is stored: a header of fixed size, and the fields.
//! Floor 1.
//!
//! ```text
//! offset  size
//!      0     1  format, 1
//!      1     8  version: another one after every write
//!      9    32  SHA-256 of the verifier
//!     41    32  SHA-256 of the verifier before, or zeros
//!     73     8  when it was rotated, or zero      (all times: ms, big-endian,
//!     81     8  when it began                      by the store's clock)
//!     89     8  when it was last used, exact to a renewal window: reads and plain writes move it
//!               and the expiry once a window
//!     97     8  idle time-out
//!    105     8  absolute deadline
//!    113     4  flags, lengths of what follows
//!    117        the user's name, the label, the fields
//! ```
//!
//! The Redis scripts know these offsets. A record whose first byte is larger than 1 was written
//! by a newer version: it is an error for whoever needs it, and never overwritten.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::random;
use crate::session::error::{StoreError, StoreErrorKind};
use crate::session::expiry::SessionExpiry;
use crate::session::fields;
use crate::session::head::{self, HEADER};
use crate::session::terms::{AS_THEY_ARE, Terms};
use crate::session::token::VerifierHash;

pub(crate) const FORMAT: u8 = 1;
pub(crate) const VERSION: usize = 1;
pub(crate) const CURRENT: usize = 9;
pub(crate) const PREVIOUS: usize = 41;
pub(crate) const ROTATED: usize = 73;
pub(crate) const CREATED: usize = 81;
pub(crate) const SEEN: usize = 89;
pub(crate) const IDLE: usize = 97;
pub(crate) const DEADLINE: usize = 105;

/// How long a request that still presents the verifier before a rotation is told that its session
/// is gone, instead of being given a new one.
const LATE_MS: u64 = 60_000;
/// All times are below: Lua counts them exactly.
const TIME_MAX: u64 = 1 << 53;

/// Tells one state of a session from another; compared for equality only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version([u8; 8]);

impl Version {
    #[cfg(feature = "redis")]
    pub(crate) const BYTES: usize = 8;

    /// One that no other write has, here or in another process: it begins at random, and counts.
    pub(crate) fn next() -> Self {
        static LAST: LazyLock<AtomicU64> =
            LazyLock::new(|| AtomicU64::new(u64::from_le_bytes(random::bytes())));
        Self(LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// Whether whoever presents a verifier may use the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The verifier is the session's.
    Current,
    /// It was the session's until less than a minute ago.
    Superseded,
    /// It is not the session's.
    Stranger,
}

/// A stored session: one buffer, checked once, read in place.
#[derive(Clone)]
pub struct SessionRecord(Bytes);

impl SessionRecord {
    /// Checks stored bytes.
    ///
    /// # Errors
    /// [`StoreErrorKind::NewerFormat`] where a newer version wrote them, and
    /// [`StoreErrorKind::Corrupt`] where they make no sense.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, StoreError> {
        let bytes = bytes.into();
        let kind = match bytes.first() {
            Some(&FORMAT) if bytes.len() >= HEADER => {
                let record = Self(bytes);
                let times = [ROTATED, CREATED, SEEN, IDLE, DEADLINE];
                let sane = times.iter().all(|at| record.number(*at) < TIME_MAX);
                if sane && head::is_sound(&record.0) && fields::is_sound(record.fields()) {
                    return Ok(record);
                }
                StoreErrorKind::Corrupt
            }
            Some(&format) if format > FORMAT => StoreErrorKind::NewerFormat,
            _ => StoreErrorKind::Corrupt,
        };
        Err(StoreError::new(kind))
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The user whom the session belongs to.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        Some(head::owner(&self.0).0).filter(|user| !user.is_empty())
    }

    /// What lists of the user's sessions call this one; may be empty.
    #[must_use]
    pub fn label(&self) -> &str {
        head::owner(&self.0).1
    }

    /// Whether the browser keeps the cookie when it closes; `None` leaves it to the layer.
    #[must_use]
    pub fn persistent(&self) -> Option<bool> {
        head::persistent(&self.0)
    }

    /// When the session began, in Unix milliseconds of the store's clock: when it was created, or
    /// when its user logged in.
    #[must_use]
    pub fn created_ms(&self) -> u64 {
        self.number(CREATED)
    }

    /// When the session was last used, exact to a renewal window.
    #[must_use]
    pub fn seen_ms(&self) -> u64 {
        self.number(SEEN)
    }

    /// When the session expires unless it is used again. The store forgets it then.
    #[must_use]
    pub fn expires_ms(&self) -> u64 {
        let idle = self.seen_ms().saturating_add(self.idle_ms());
        idle.min(self.deadline_ms())
    }

    /// Whether whoever presents a verifier with this digest may use the session.
    #[must_use]
    pub fn verify(&self, verifier: &VerifierHash, now_ms: u64) -> Verdict {
        if self.hash(CURRENT) == *verifier {
            return Verdict::Current;
        }
        let late = now_ms.saturating_sub(self.number(ROTATED)) < LATE_MS;
        if self.hash(PREVIOUS) == *verifier && late {
            return Verdict::Superseded;
        }
        Verdict::Stranger
    }

    /// The session, used just now; `None` where the verifier is not its own.
    ///
    /// A store's [`renew`](crate::session::SessionStore::renew) writes this back. It keeps the
    /// session's own time-outs.
    #[must_use]
    pub fn renewed(&self, verifier: &VerifierHash, now_ms: u64) -> Option<Self> {
        if self.verify(verifier, now_ms) != Verdict::Current {
            return None;
        }
        let mut bytes = self.0.to_vec();
        put(&mut bytes, SEEN, &now_ms.to_be_bytes());
        Some(Self(bytes.into()))
    }

    pub(crate) fn new(
        verifier: &VerifierHash,
        version: Version,
        expiry: &SessionExpiry,
        terms: &Terms,
        fields: &[u8],
        now_ms: u64,
    ) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[0] = FORMAT;
        put(&mut bytes, VERSION, version.as_bytes());
        put(&mut bytes, CURRENT, verifier.as_bytes());
        put(&mut bytes, CREATED, &now_ms.to_be_bytes());
        put(&mut bytes, SEEN, &now_ms.to_be_bytes());
        put(&mut bytes, IDLE, &expiry.idle_ms().to_be_bytes());
        let deadline = now_ms.saturating_add(expiry.absolute_ms());
        put(&mut bytes, DEADLINE, &deadline.to_be_bytes());
        Self(bytes.into()).on(terms, &[], fields)
    }

    /// The same header but for `edits`, each a place and its bytes, and other fields.
    pub(crate) fn with(&self, edits: &[(usize, &[u8])], fields: &[u8]) -> Self {
        self.on(&AS_THEY_ARE, edits, fields)
    }

    /// As [`with`](Self::with), and on other terms. Their time-outs are the caller's to edit in.
    pub(crate) fn on(&self, terms: &Terms, edits: &[(usize, &[u8])], fields: &[u8]) -> Self {
        let mut bytes = head::rebuilt(&self.0, terms, fields);
        for (at, edit) in edits {
            put(&mut bytes, *at, edit);
        }
        Self(bytes.into())
    }

    /// The record without its fields, of its first 628 bytes or more.
    #[cfg(feature = "redis")]
    pub(crate) fn decode_head(bytes: impl Into<Bytes>) -> Result<Self, StoreError> {
        let mut bytes = bytes.into();
        if bytes.len() >= HEADER {
            bytes.truncate(head::fields_at(&bytes));
        }
        Self::decode(bytes)
    }

    pub(crate) fn version(&self) -> Version {
        Version(self.array(VERSION))
    }

    pub(crate) fn idle_ms(&self) -> u64 {
        self.number(IDLE)
    }

    pub(crate) fn deadline_ms(&self) -> u64 {
        self.number(DEADLINE)
    }

    pub(crate) fn hash(&self, at: usize) -> VerifierHash {
        VerifierHash::from_bytes(self.array(at))
    }

    /// What tells this state of a session from all others: everything before the idle time-out.
    #[cfg(feature = "redis")]
    pub(crate) fn mark(&self) -> &[u8] {
        &self.0[..IDLE]
    }

    /// What stands before the clocks, which begin with the session, and what stands after them.
    #[cfg(feature = "redis")]
    pub(crate) fn around_clocks(&self) -> (&[u8], &[u8]) {
        (&self.0[..CREATED], &self.0[head::FLAGS..])
    }

    /// What stands in front of the fields.
    #[cfg(feature = "redis")]
    pub(crate) fn head(&self) -> &[u8] {
        &self.0[..head::fields_at(&self.0)]
    }

    pub(crate) fn fields(&self) -> &[u8] {
        &self.0[head::fields_at(&self.0)..]
    }

    /// A field's value, without copying it.
    pub(crate) fn field(&self, name: &str) -> Option<Bytes> {
        fields::find(self.fields(), name).map(|value| self.0.slice_ref(value))
    }

    fn number(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.array(at))
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.0[at..at + N]);
        array
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

impl fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRecord")
            .field("created_ms", &self.created_ms())
            .field("seen_ms", &self.seen_ms())
            .field("bytes", &self.0.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
