//! `/status`: what this instance is doing, for tests and for people.

use axum::Router;
use axum::extract::State;
use axum::response::Json;
use axum::routing::get;
use serde_json::{Value, json};
use tower_handoff::lifecycle::LifecycleHandle;
use tower_handoff::lock::HeldLocks;
use tower_handoff::redis::{RedisHandle, RedisStatus};

#[derive(Clone)]
pub(crate) struct Status {
    pub(crate) lifecycle: LifecycleHandle,
    pub(crate) redis: Option<RedisHandle>,
    pub(crate) held: HeldLocks,
}

pub(crate) fn routes(status: Status) -> Router {
    Router::new().route("/status", get(show)).with_state(status)
}

async fn show(
    State(Status {
        lifecycle,
        redis,
        held,
    }): State<Status>,
) -> Json<Value> {
    let status = lifecycle.status();
    Json(json!({
        "instance": lifecycle.instance_id(),
        "phase": status.phase.public_str(),
        "in_flight": status.in_flight,
        "requests": status.requests,
        "upgraded": status.upgraded,
        "connections": status.connections,
        "tasks": status.tasks.len(),
        "alive_tasks": tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        "locks": held.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "redis": match redis.as_ref().map(RedisHandle::status) {
            None => "none",
            Some(RedisStatus::Up) => "up",
            Some(_) => "away",
        },
        // What somebody should look at, also where it is up.
        "redis_reason": redis.and_then(|redis| match redis.status() {
            RedisStatus::Away { cause, reason, .. } => Some(format!("{cause:?}: {reason}")),
            _ => redis.warning(),
        }),
    }))
}
