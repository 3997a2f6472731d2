//! Logging in, and the sessions of a user.

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_handoff::session::{Session, SessionError};

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/login/{user}", post(log_in))
        .route("/login/", post(nameless))
        .route("/logins/{user}", get(list).delete(end))
        .route("/logins/", get(nameless).delete(nameless))
}

#[derive(Deserialize)]
struct LogIn {
    /// Whether the browser keeps the cookie when it closes; unset: as the layer has it.
    remember: Option<bool>,
}

async fn log_in(
    session: Session,
    Path(user): Path<String>,
    Query(LogIn { remember }): Query<LogIn>,
) -> Result<StatusCode, SessionError> {
    session.bind(&user)?;
    if let Some(remember) = remember {
        session.set_persistent(remember)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn list(session: Session, Path(user): Path<String>) -> Result<Json<Value>, SessionError> {
    let sessions = session.users().sessions(&user).await?;
    let list = sessions.iter().map(|session| {
        json!({
            "id_public": session.id().to_string(),
            "created_ms": session.created_ms(),
            "seen_ms": session.seen_ms(),
        })
    });
    Ok(Json(list.collect()))
}

async fn end(session: Session, Path(user): Path<String>) -> Result<Json<Value>, SessionError> {
    let ended = session.users().revoke_all(&user).await?;
    Ok(Json(json!({ "ended": ended })))
}

async fn nameless() -> (StatusCode, &'static str) {
    let text = "an empty name; accepted: 1 to 256 bytes";
    (StatusCode::BAD_REQUEST, text)
}
