//! Requests that take their time.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use tokio::time::sleep;
use tower_handoff::lifecycle::LifecycleHandle;

pub(crate) fn routes(lifecycle: LifecycleHandle) -> Router {
    Router::new()
        .route("/sleep/{ms}", get(asleep))
        .route("/stream/{chunks}", get(stream))
        .route("/events", get(events))
        .route("/panic", get(panics))
        .route("/task/{ms}", post(task))
        .with_state(lifecycle)
}

async fn asleep(Path(ms): Path<u64>) -> String {
    sleep(Duration::from_millis(ms)).await;
    format!("slept {ms} ms\n")
}

#[derive(Deserialize)]
struct Chunks {
    #[serde(default)]
    every_ms: u64,
    size: Option<usize>,
}

/// No chunk is larger: a test asks for more chunks instead.
const CHUNK_MAX: usize = 16 << 20;

async fn stream(
    Path(chunks): Path<u64>,
    Query(Chunks { every_ms, size }): Query<Chunks>,
) -> Response {
    let chunk = match size {
        None => Bytes::from_static(b"chunk\n"),
        Some(size) if size <= CHUNK_MAX => Bytes::from(vec![b'x'; size]),
        Some(_) => {
            return (StatusCode::BAD_REQUEST, "size; accepted: up to 16777216").into_response();
        }
    };
    let body = stream::iter(0..chunks).then(move |_| {
        let chunk = chunk.clone();
        async move {
            sleep(Duration::from_millis(every_ms)).await;
            Ok::<_, Infallible>(chunk)
        }
    });
    Body::from_stream(body).into_response()
}

/// One event a second, and a last one when the drain begins.
async fn events(
    State(lifecycle): State<LifecycleHandle>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = stream::unfold(0, |n| async move {
        sleep(Duration::from_secs(u64::from(n > 0))).await;
        Some((Event::default().data(n.to_string()), n + 1))
    });
    let bye = stream::iter([Event::default().event("bye").data("draining")]);
    Sse::new(lifecycle.watch().until_drain(ticks).chain(bye).map(Ok))
}

async fn panics() -> StatusCode {
    panic!("asked to")
}

async fn task(State(lifecycle): State<LifecycleHandle>, Path(ms): Path<u64>) -> StatusCode {
    lifecycle.spawn("task", sleep(Duration::from_millis(ms)));
    StatusCode::ACCEPTED
}
