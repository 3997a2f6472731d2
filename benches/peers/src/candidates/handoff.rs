//! tower-handoff as its README sets it up.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, put};
use tower_handoff::RedisHandle;
use tower_handoff::session::{Session, SessionError, SessionLayer};

use super::visitor::{LOGIN, READ, SET, Visitor, fresh};
use crate::Error;

pub fn router(redis: &str) -> Result<Router, Error> {
    let redis = RedisHandle::connect(redis)?;
    Ok(Router::new()
        .route("/none", get(|| async { "none" }))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/set", get(set))
        .route("/increment", get(increment))
        .route("/login", get(login))
        .route("/state", get(state))
        .route("/seed", put(seed))
        .layer(SessionLayer::new(redis.sessions())))
}

fn failed(error: SessionError) -> StatusCode {
    eprintln!("tower-handoff: {error:?}");
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn read(session: Session) -> Result<String, StatusCode> {
    let value = session.get::<String>(READ).await.map_err(failed)?;
    value.ok_or(StatusCode::NOT_FOUND)
}

async fn write(session: Session) -> Result<String, StatusCode> {
    let n = session.get::<i64>("n").await.map_err(failed)?;
    let next = n.ok_or(StatusCode::NOT_FOUND)? + 1;
    session.set("n", &next).map_err(failed)?;
    Ok(next.to_string())
}

async fn set(session: Session) -> Result<String, StatusCode> {
    let value = fresh();
    session.set(SET, &value).map_err(failed)?;
    Ok(value)
}

async fn increment(session: Session) -> Result<String, StatusCode> {
    let sum = session.increment("n", 1).await.map_err(failed)?;
    Ok(sum.to_string())
}

async fn login(session: Session) -> Result<(), StatusCode> {
    session.rotate().map_err(failed)?;
    session.set(LOGIN, &fresh()).map_err(failed)
}

async fn state(session: Session) -> Result<String, StatusCode> {
    let n = session.get::<i64>("n").await.map_err(failed)?;
    let set = session.get::<String>(SET).await.map_err(failed)?;
    let (n, set) = n.zip(set).ok_or(StatusCode::NOT_FOUND)?;
    Ok(format!("{n} {set}"))
}

async fn seed(session: Session) -> Result<(), StatusCode> {
    let visitor = Visitor::new();
    session.set("n", &visitor.n).map_err(failed)?;
    for (name, value) in visitor.texts() {
        session.set(name, &value).map_err(failed)?;
    }
    Ok(())
}
