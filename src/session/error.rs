//! What can go wrong with a session, and what the caller can do about it.
//! Floor 1.

use std::error::Error;
use std::fmt;

use crate::BoxError;

/// Why an operation of a session store failed.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Option<BoxError>,
}

/// What is known after a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store is away; nothing was done.
    Unavailable,
    /// No answer came; the operation may have been carried out, or be in the next moments: until when is
    /// [said there](crate::session#what-comes-late).
    OutcomeUnknown,
    /// The session was written by a newer version, which is left alone.
    NewerFormat,
    /// What is stored is no session; it is left as it is.
    Corrupt,
}

impl StoreError {
    /// An error without a cause.
    #[must_use]
    pub fn new(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// Names the cause, which must hold no secret.
    #[must_use]
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }

    /// What is known now.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::Unavailable => "the session store is away",
            StoreErrorKind::OutcomeUnknown => "the session store did not answer",
            StoreErrorKind::NewerFormat => "the session was written by a newer version",
            StoreErrorKind::Corrupt => "what is stored is no session",
        })
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// Why an operation on a [`Session`](crate::session::Session) failed.
///
/// With feature `axum` it is a response, so a handler may use `?`: see [`SessionErrorKind`] for
/// the statuses.
#[derive(Debug)]
pub struct SessionError {
    kind: SessionErrorKind,
    source: Option<BoxError>,
}

/// What went wrong, and the status that the error answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionErrorKind {
    /// The store is away, or the session or its cookie was written by a newer version. Nothing
    /// was done. 503 + `Retry-After`.
    Unavailable,
    /// The store did not answer: a write may have happened, or may yet, for a
    /// [moment](crate::session#what-comes-late). 503 + `Retry-After`.
    OutcomeUnknown,
    /// The session was destroyed, rotated or expired meanwhile; nothing was written. 409.
    Gone,
    /// The response has begun, so nothing can be written any more. 500.
    Sealed,
    /// A value, or the session with it, is over its limit; nothing was written. 413.
    TooLarge,
    /// A field's name must have 1 to 128 bytes and not begin with a zero byte. 400.
    InvalidName,
    /// A user's name must have 1 to 256 bytes. 400.
    InvalidUser,
    /// The value could not be encoded. 500.
    Encode,
    /// The stored value is not of the type asked for; it is left as it is. 409. Only with
    /// [`Undecodable::Error`](crate::session::Undecodable::Error).
    Decode,
    /// The field holds no integer, or the sum leaves ±(2^53 - 1); nothing was written. 409.
    NotInteger,
    /// Others kept changing the session, and every try came too late; nothing was written. 409.
    Contended,
    /// What is stored is no session; it is left as it is. 409. Only with
    /// [`Undecodable::Error`](crate::session::Undecodable::Error).
    Corrupt,
}

impl SessionError {
    pub(crate) fn with_source(kind: SessionErrorKind, source: impl Into<BoxError>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> SessionErrorKind {
        self.kind
    }

    /// Whether the store, not the request, is to blame: the same may work a little later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        use SessionErrorKind::{OutcomeUnknown, Unavailable};
        matches!(self.kind, Unavailable | OutcomeUnknown)
    }
}

impl From<SessionErrorKind> for SessionError {
    fn from(kind: SessionErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind {
            StoreErrorKind::Unavailable | StoreErrorKind::NewerFormat => {
                SessionErrorKind::Unavailable
            }
            StoreErrorKind::OutcomeUnknown => SessionErrorKind::OutcomeUnknown,
            StoreErrorKind::Corrupt => SessionErrorKind::Corrupt,
        };
        Self::with_source(kind, error)
    }
}

impl SessionErrorKind {
    /// What `Display` and the body of the answer say.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Unavailable => "the session is unavailable",
            Self::OutcomeUnknown => "the session store did not answer",
            Self::Gone => "the session is gone",
            Self::Sealed => "the response has begun; the session can no longer be written",
            Self::TooLarge => "the value or the session is too large",
            Self::InvalidName => "a field's name has 1 to 128 bytes, the first of them not zero",
            Self::InvalidUser => "a user's name has 1 to 256 bytes",
            Self::Encode => "the value cannot be encoded",
            Self::Decode => "the stored value is of another type",
            Self::NotInteger => "the field holds no integer, or the sum is out of range",
            Self::Contended => "others kept changing the session",
            Self::Corrupt => "what is stored is no session",
        }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.text())
    }
}

impl Error for SessionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// A handler asked for its session, and no layer has put one into the request.
///
/// With feature `axum` it is a response: 500 with this text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLayerMissing(());

impl SessionLayerMissing {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl fmt::Display for SessionLayerMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the request has no session: add tower_handoff::session::SessionLayer around this \
             handler and around every layer that uses the session (in axum, `Router::layer` after \
             the routes; of several calls, the last is the outermost)",
        )
    }
}

impl Error for SessionLayerMissing {}
