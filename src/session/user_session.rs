//! A user's session as a list shows it, and which of them are to end.
//! Floor 1.

use crate::session::id::SessionId;
use crate::session::record::SessionRecord;

/// One session of a user, for a list of devices. Nothing in it lets anyone in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSession {
    id: SessionId,
    created_ms: u64,
    seen_ms: u64,
    expires_ms: u64,
    label: String,
}

impl UserSession {
    /// What a list shows of a stored session.
    #[must_use]
    pub fn new(id: SessionId, record: &SessionRecord) -> Self {
        Self {
            id,
            created_ms: record.created_ms(),
            seen_ms: record.seen_ms(),
            expires_ms: record.expires_ms(),
            label: record.label().to_owned(),
        }
    }

    /// The session's public id.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// When the user logged in, in Unix milliseconds of the store's clock, as all times here.
    #[must_use]
    pub fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// When the session was last used, exact to a renewal window: a tenth of its idle time-out,
    /// a minute at most.
    #[must_use]
    pub fn seen_ms(&self) -> u64 {
        self.seen_ms
    }

    /// When it expires unless it is used again.
    #[must_use]
    pub fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// What [`Session::set_label`](crate::session::Session::set_label) called it; empty where
    /// nobody did.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// Which of a user's sessions are to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revoke {
    /// This one.
    One(SessionId),
    /// All but this one.
    Others(SessionId),
    /// All.
    All,
}

impl Revoke {
    /// Whether this session of the user's is to end.
    #[must_use]
    pub fn ends(&self, id: &SessionId) -> bool {
        match self {
            Self::One(one) => one == id,
            Self::Others(kept) => kept != id,
            Self::All => true,
        }
    }
}
