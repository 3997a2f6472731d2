//! Why a layer answers for the service.
//!
//! Floor 1.

use http::StatusCode;

/// Why a layer did not let a request through, or did not let its answer out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Somebody else holds the lock. 409 + `Retry-After`.
    LockBusy,
    /// Too many already wait for the lock. 503 + `Retry-After`.
    LockQueueFull,
    /// The lock backend is away. 503 + `Retry-After`.
    LockUnavailable,
    /// The lease was lost while the handler ran, so the outcome is unknown. 500, no `Retry-After`.
    LockLost,
    /// The request has nothing to make the lock's key from. 400.
    LockKeyMissing,
    /// The request asks for more locks than one may hold together. 400.
    LockTooManyKeys,
    /// The session store is away. 503 + `Retry-After`.
    SessionUnavailable,
    /// The handler wrote more than the session may hold; nothing was written. 413.
    SessionTooLarge,
    /// The instance is draining. 503 + `Retry-After` + `Connection: close` (HTTP/1).
    Draining,
    /// The drain cut the handler off where it was, so the outcome is unknown. 503, no `Retry-After`.
    CutOff,
}

impl Reason {
    /// The last part of the problem's `type`: `lock-busy`, `draining`, …
    #[must_use]
    pub fn slug(self) -> &'static str {
        match self {
            Self::LockBusy => "lock-busy",
            Self::LockQueueFull => "lock-queue-full",
            Self::LockUnavailable => "lock-unavailable",
            Self::LockLost => "lock-lost",
            Self::LockKeyMissing => "lock-key-missing",
            Self::LockTooManyKeys => "lock-too-many-keys",
            Self::SessionUnavailable => "session-unavailable",
            Self::SessionTooLarge => "session-too-large",
            Self::Draining => "draining",
            Self::CutOff => "cut-off",
        }
    }

    /// The status of the default answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::LockBusy => StatusCode::CONFLICT,
            Self::LockLost => StatusCode::INTERNAL_SERVER_ERROR,
            Self::LockKeyMissing | Self::LockTooManyKeys => StatusCode::BAD_REQUEST,
            Self::SessionTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LockQueueFull
            | Self::LockUnavailable
            | Self::SessionUnavailable
            | Self::Draining
            | Self::CutOff => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::LockBusy => "Another request holds the lock",
            Self::LockQueueFull => "Too many requests wait for the lock",
            Self::LockUnavailable => "The lock service is away",
            Self::LockLost => "The lock was lost while the request ran; its outcome is unknown",
            Self::LockKeyMissing => "The request names nothing to lock",
            Self::LockTooManyKeys => "The request names too much to lock at once",
            Self::SessionUnavailable => "The session store is away",
            Self::SessionTooLarge => "The session is full; nothing was written",
            Self::Draining => "This instance is shutting down",
            Self::CutOff => {
                "This instance is shutting down; the request was cut off, and its outcome is unknown"
            }
        }
    }
}
