//! The session routes.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tower_handoff::session::{Session, SessionError};

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/session", get(whole).delete(logout))
        .route("/session/rotate", post(rotate))
        .route("/session/{key}", get(read).put(write).delete(remove))
        .route("/session/", put(empty_key))
        .route("/counter/{key}", post(count))
        .route("/update/{key}", post(update))
        .route("/slow/{key}", put(slow))
        .route("/broken/{key}", put(broken))
        .route("/untouched", get(|| async { "untouched" }))
}

async fn read(session: Session, Path(key): Path<String>) -> Result<Response, SessionError> {
    Ok(match session.get_raw(&key).await? {
        Some(value) => json(value),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

async fn write(
    session: Session,
    Path(key): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    well_formed(&key, &body)?;
    session.set_raw(&key, body)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn empty_key() -> Refused {
    Refused::Malformed("an empty key; accepted: 1 to 128 bytes")
}

async fn remove(session: Session, Path(key): Path<String>) -> Result<StatusCode, SessionError> {
    // Without a session there is nothing to remove, and none is started for it.
    if session.exists().await? {
        session.remove(&key)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn whole(session: Session) -> Result<Response, SessionError> {
    let Some(id) = session.id().await? else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let mut body = format!(r#"{{"id_public":"{id}","fields":{{"#).into_bytes();
    for (at, (name, value)) in session.fields().await?.into_iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend(serde_json::to_vec(&name).unwrap_or_default());
        body.push(b':');
        body.extend_from_slice(&value);
    }
    body.extend(b"}}");
    Ok(json(body.into()))
}

async fn logout(session: Session) -> Result<StatusCode, SessionError> {
    session.destroy().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rotate(session: Session) -> Result<StatusCode, SessionError> {
    if !session.exists().await? {
        return Ok(StatusCode::NOT_FOUND);
    }
    session.rotate()?;
    Ok(StatusCode::NO_CONTENT)
}

async fn count(session: Session, Path(key): Path<String>) -> Result<Response, SessionError> {
    Ok(json(session.increment(&key, 1).await?.to_string().into()))
}

/// As `count`, by comparing and setting.
async fn update(session: Session, Path(key): Path<String>) -> Result<Response, SessionError> {
    let next = session.update(&key, |n: Option<i64>| Some(n.unwrap_or(0) + 1));
    let next = next.await?.unwrap_or_default();
    Ok(json(next.to_string().into()))
}

#[derive(Deserialize)]
struct Slow {
    ms: u64,
}

async fn slow(
    session: Session,
    Path(key): Path<String>,
    Query(Slow { ms }): Query<Slow>,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    well_formed(&key, &body)?;
    session.fields().await?;
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    session.set_raw(&key, body)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Broken {
    status: u16,
}

async fn broken(
    session: Session,
    Path(key): Path<String>,
    Query(Broken { status }): Query<Broken>,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    well_formed(&key, &body)?;
    session.set_raw(&key, body)?;
    StatusCode::from_u16(status).map_err(|_| Refused::Malformed("status; accepted: 100 to 999"))
}

/// What a route refuses before, or because of, the session.
enum Refused {
    Malformed(&'static str),
    Session(SessionError),
}

impl From<SessionError> for Refused {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Malformed(what) => (StatusCode::BAD_REQUEST, what).into_response(),
            Self::Session(error) => error.into_response(),
        }
    }
}

fn well_formed(key: &str, body: &[u8]) -> Result<(), Refused> {
    if !(1..=128).contains(&key.len()) {
        return Err(Refused::Malformed("the key; accepted: 1 to 128 bytes"));
    }
    serde_json::from_slice::<IgnoredAny>(body)
        .map(drop)
        .map_err(|_| Refused::Malformed("the body; accepted: one JSON value"))
}

fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
