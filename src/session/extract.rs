//! Axum: `Session` as an argument of a handler, its errors as answers.
//! Floor 7.

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
