//! tower-sessions with its Redis store.
//!
//! A blind write loads first, and an increment is a read and a write: of two at a time one is
//! lost. A read does not prolong the session.

use ::tower_sessions::session::Error as SessionError;
use ::tower_sessions::{Session, SessionManagerLayer};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, put};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};

use super::visitor::{LOGIN, READ, SET, Visitor, fresh};
use crate::Error;

pub async fn router(redis: &str, connections: usize) -> Result<Router, Error> {
    let pool = Pool::new(Config::from_url(redis)?, None, None, None, connections)?;
    // The connections' task outlives its handle.
    drop(pool.connect());
    pool.wait_for_connect().await?;
    Ok(Router::new()
        .route("/none", get(|| async { "none" }))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/set", get(set))
        .route("/increment", get(write))
        .route("/login", get(login))
        .route("/state", get(state))
        .route("/seed", put(seed))
        .layer(SessionManagerLayer::new(RedisStore::new(pool)).with_secure(false)))
}

fn failed(error: SessionError) -> StatusCode {
    eprintln!("tower-sessions: {error:?}");
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn read(session: Session) -> Result<String, StatusCode> {
    let value = session.get::<String>(READ).await.map_err(failed)?;
    value.ok_or(StatusCode::NOT_FOUND)
}

async fn write(session: Session) -> Result<String, StatusCode> {
    let n = session.get::<i64>("n").await.map_err(failed)?;
    let next = n.ok_or(StatusCode::NOT_FOUND)? + 1;
    session.insert("n", next).await.map_err(failed)?;
    Ok(next.to_string())
}

async fn set(session: Session) -> Result<String, StatusCode> {
    let value = fresh();
    session.insert(SET, &value).await.map_err(failed)?;
    Ok(value)
}

async fn login(session: Session) -> Result<(), StatusCode> {
    session.cycle_id().await.map_err(failed)?;
    session.insert(LOGIN, fresh()).await.map_err(failed)
}

async fn state(session: Session) -> Result<String, StatusCode> {
    let n = session.get::<i64>("n").await.map_err(failed)?;
    let set = session.get::<String>(SET).await.map_err(failed)?;
    let (n, set) = n.zip(set).ok_or(StatusCode::NOT_FOUND)?;
    Ok(format!("{n} {set}"))
}

async fn seed(session: Session) -> Result<(), StatusCode> {
    let visitor = Visitor::new();
    session.insert("n", visitor.n).await.map_err(failed)?;
    for (name, value) in visitor.texts() {
        session.insert(name, value).await.map_err(failed)?;
    }
    Ok(())
}
