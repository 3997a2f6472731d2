//! Axum: `Session` and its sections as arguments of a handler, their errors as answers.
//! Floor 7.

use std::fmt;

use axum::body::Body;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use crate::answer::Refusal;
use crate::reason::Reason;
use crate::session::error::{SessionError, SessionErrorKind, SessionLayerMissing};
use crate::session::handle::Session;
use crate::session::policy::RETRY;
use crate::session::section::{Section, SectionValue};

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = SessionLayerMissing;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Self::from_extensions(&parts.extensions).cloned()
    }
}

/// `None` where the store is away: see [`Session::optional`]. A missing layer is an error all the same.
impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = SessionLayerMissing;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        let session = Self::from_extensions(&parts.extensions)?;
        Ok(session.optional().await)
    }
}

impl<S: Sync, T: SectionValue> FromRequestParts<S> for Section<T> {
    type Rejection = SectionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let session = Session::from_extensions(&parts.extensions)?;
        Ok(session.section().await?)
    }
}

/// `None` where the store is away, and for nothing else: a field that is not there is the default
/// of its section.
impl<S: Sync, T: SectionValue> OptionalFromRequestParts<S> for Section<T> {
    type Rejection = SectionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        match Session::from_extensions(&parts.extensions)?
            .optional()
            .await
        {
            Some(session) => Ok(Some(session.section().await?)),
            None => Ok(None),
        }
    }
}

/// Why a handler did not get its [`Section`]. A response as what it holds is one.
#[derive(Debug)]
#[non_exhaustive]
pub enum SectionRejection {
    /// No layer is around the handler.
    LayerMissing(SessionLayerMissing),
    /// The section could not be read.
    Session(SessionError),
}

impl From<SessionLayerMissing> for SectionRejection {
    fn from(missing: SessionLayerMissing) -> Self {
        Self::LayerMissing(missing)
    }
}

impl From<SessionError> for SectionRejection {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl fmt::Display for SectionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LayerMissing(missing) => missing.fmt(f),
            Self::Session(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SectionRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::LayerMissing(_) => None,
            Self::Session(error) => error.source(),
        }
    }
}

impl IntoResponse for SectionRejection {
    fn into_response(self) -> Response {
        match self {
            Self::LayerMissing(missing) => missing.into_response(),
            Self::Session(error) => error.into_response(),
        }
    }
}

impl IntoResponse for SessionLayerMissing {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        let (status, slug) = match self.kind() {
            SessionErrorKind::Unavailable | SessionErrorKind::OutcomeUnknown => {
                let refusal = Refusal::new(Reason::SessionUnavailable);
                return refused(refusal.retry_about(RETRY));
            }
            SessionErrorKind::TooLarge => return refused(Refusal::new(Reason::SessionTooLarge)),
            SessionErrorKind::Gone => (StatusCode::CONFLICT, "session-gone"),
            SessionErrorKind::Contended => (StatusCode::CONFLICT, "session-contended"),
            SessionErrorKind::NotInteger => (StatusCode::CONFLICT, "session-not-integer"),
            SessionErrorKind::InvalidName => (StatusCode::BAD_REQUEST, "session-invalid-name"),
            SessionErrorKind::InvalidUser => (StatusCode::BAD_REQUEST, "session-invalid-user"),
            SessionErrorKind::Sealed => (StatusCode::INTERNAL_SERVER_ERROR, "session-sealed"),
            SessionErrorKind::Encode => (StatusCode::INTERNAL_SERVER_ERROR, "session-encode"),
            SessionErrorKind::Decode => (StatusCode::CONFLICT, "session-decode"),
            SessionErrorKind::Corrupt => (StatusCode::CONFLICT, "session-corrupt"),
        };
        let body = format!(
            r#"{{"type":"urn:tower-handoff:{slug}","title":"{}","status":{}}}"#,
            self.kind().text(),
            status.as_u16()
        );
        let json = HeaderValue::from_static("application/problem+json");
        (status, [(CONTENT_TYPE, json)], body).into_response()
    }
}

fn refused(refusal: Refusal) -> Response {
    let mut response = refusal.response().map(Body::from);
    response.extensions_mut().insert(refusal);
    response
}
