//! The hand-written minimum.
//!
//! It loads the whole visitor and writes it back, so it can do neither a blind write nor an
//! increment in one command: both are a read and a write, and the later of two wins.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, put};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

use super::visitor::{Visitor, fresh};
use crate::Error;

const SECONDS: u64 = 3600;

type Cookie = [(header::HeaderName, String); 1];

pub async fn router(redis: &str) -> Result<Router, Error> {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = redis::Client::open(redis)?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    Ok(Router::new()
        .route("/none", get(|| async { "none" }))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/set", get(set))
        .route("/increment", get(write))
        .route("/login", get(login))
        .route("/state", get(state))
        .route("/seed", put(seed))
        .with_state(connection))
}

fn key(id: &str) -> String {
    format!("raw:{id}")
}

async fn load(
    connection: &mut MultiplexedConnection,
    headers: &HeaderMap,
) -> Result<(String, Visitor), StatusCode> {
    let cookie = headers.get(header::COOKIE).and_then(|it| it.to_str().ok());
    let id = cookie.and_then(|cookie| cookie.strip_prefix("session="));
    let key = key(id.ok_or(StatusCode::NOT_FOUND)?);
    let bytes: Option<Vec<u8>> = redis::cmd("GETEX")
        .arg(&key)
        .arg("EX")
        .arg(SECONDS)
        .query_async(connection)
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let visitor = serde_json::from_slice(&bytes.ok_or(StatusCode::NOT_FOUND)?);
    Ok((key, visitor.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?))
}

fn save(key: &str, visitor: &Visitor, how: &str) -> Result<redis::Cmd, StatusCode> {
    let bytes = serde_json::to_vec(visitor).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let mut set = redis::cmd("SET");
    set.arg(key).arg(bytes).arg("EX").arg(SECONDS).arg(how);
    Ok(set)
}

async fn send(
    connection: &mut MultiplexedConnection,
    command: redis::Cmd,
) -> Result<(), StatusCode> {
    let done: Option<()> = command
        .query_async(connection)
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    done.ok_or(StatusCode::CONFLICT)
}

async fn read(
    State(mut connection): State<MultiplexedConnection>,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    Ok(load(&mut connection, &headers).await?.1.field_3)
}

async fn write(
    State(mut connection): State<MultiplexedConnection>,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    let (key, mut visitor) = load(&mut connection, &headers).await?;
    visitor.n += 1;
    send(&mut connection, save(&key, &visitor, "XX")?).await?;
    Ok(visitor.n.to_string())
}

async fn set(
    State(mut connection): State<MultiplexedConnection>,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    let (key, mut visitor) = load(&mut connection, &headers).await?;
    visitor.field_5 = fresh();
    send(&mut connection, save(&key, &visitor, "XX")?).await?;
    Ok(visitor.field_5)
}

async fn login(
    State(mut connection): State<MultiplexedConnection>,
    headers: HeaderMap,
) -> Result<Cookie, StatusCode> {
    let (old, mut visitor) = load(&mut connection, &headers).await?;
    visitor.field_7 = fresh();
    let (cookie, save) = named(&visitor)?;
    let mut both = redis::pipe();
    both.add_command(save).ignore();
    both.cmd("DEL").arg(old).ignore();
    both.query_async::<()>(&mut connection)
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(cookie)
}

async fn state(
    State(mut connection): State<MultiplexedConnection>,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    let (_, visitor) = load(&mut connection, &headers).await?;
    Ok(format!("{} {}", visitor.n, visitor.field_5))
}

async fn seed(State(mut connection): State<MultiplexedConnection>) -> Result<Cookie, StatusCode> {
    let (cookie, save) = named(&Visitor::new())?;
    send(&mut connection, save).await?;
    Ok(cookie)
}

/// A visitor under a new id.
fn named(visitor: &Visitor) -> Result<(Cookie, redis::Cmd), StatusCode> {
    let id = format!("{:032x}", rand::random::<u128>());
    let save = save(&key(&id), visitor, "NX")?;
    let cookie = format!("session={id}; HttpOnly; SameSite=Lax; Path=/; Max-Age={SECONDS}");
    Ok(([(header::SET_COOKIE, cookie)], save))
}
