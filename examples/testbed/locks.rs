//! The routes behind the lock layer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::response::Json;
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower_handoff::ConfigError;
use tower_handoff::lock::key::{self, KeyFrom};
use tower_handoff::lock::{LockBackend, LockGuard, LockLayer, OnLost};

use crate::config::Config;

#[derive(Deserialize)]
struct Times {
    #[serde(default)]
    hold_ms: u64,
    #[serde(default = "ten_seconds")]
    wait_ms: u64,
}

fn ten_seconds() -> u64 {
    10_000
}

/// `wait_ms` of the query; what does not parse is refused by the handler's own extractor.
fn wait(parts: &Parts) -> Option<Duration> {
    let Query(times) = Query::<Times>::try_from_uri(&parts.uri).ok()?;
    Some(Duration::from_millis(times.wait_ms))
}

pub(crate) fn routes(
    locks: &(impl LockBackend + Clone),
    config: &Config,
    instance: String,
) -> Result<Router, ConfigError> {
    fn layer(
        locks: &(impl LockBackend + Clone),
        key: impl KeyFrom,
        lease: Duration,
    ) -> Result<LockLayer, ConfigError> {
        Ok(LockLayer::new(locks.clone(), key)
            .with_lease(lease)?
            .with_on_lost(OnLost::Stop))
    }
    let lease = config.lease;
    let named = || layer(locks, key::path("{name}"), lease);
    Ok(Router::new()
        .route(
            "/lock/{name}",
            post(hold).layer(named()?.with_name("lock").with_wait_from(wait)),
        )
        .route(
            "/trylock/{name}",
            post(hold).layer(named()?.with_name("trylock").with_try()),
        )
        .route(
            "/session-lock",
            post(hold).layer(layer(locks, key::session("session"), lease)?.with_wait_from(wait)),
        )
        .route("/panic-lock/{name}", post(panics).layer(named()?))
        .with_state(instance))
}

async fn hold(
    guard: LockGuard,
    State(instance): State<String>,
    Query(times): Query<Times>,
) -> Json<Value> {
    let from = now_us();
    sleep(Duration::from_millis(times.hold_ms)).await;
    Json(json!({
        "fence": guard.fence().get(),
        "instance": instance,
        "from_us": from,
        "to_us": now_us(),
    }))
}

/// The machine's clock: all instances of a test run on one machine, so their uses of a lock can be
/// laid side by side.
fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

async fn panics(_guard: LockGuard) -> Json<Value> {
    panic!("asked to, with the lock held")
}
