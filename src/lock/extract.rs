//! The guard as an axum extractor.
//!
//! Floor 7.

use std::fmt;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::lock::guard::LockGuard;

/// A handler asked for a [`LockGuard`] in a request that holds no lock: a 500 whose text says
/// what to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingLockGuard;

impl fmt::Display for MissingLockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this request holds no lock: is the route inside a `LockLayer`? \
             A `LockLayer` does not guard safe methods (GET, HEAD, OPTIONS, TRACE) unless \
             `with_methods` names them, nor requests that its policies let pass: without a key, or \
             while the backend is away",
        )
    }
}

impl std::error::Error for MissingLockGuard {}

impl IntoResponse for MissingLockGuard {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for LockGuard {
    type Rejection = MissingLockGuard;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get().cloned().ok_or(MissingLockGuard)
    }
}

/// `Option<LockGuard>`, for a handler that also serves unguarded requests.
impl<S: Sync> OptionalFromRequestParts<S> for LockGuard {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get().cloned())
    }
}
