//! A WebSocket that says goodbye.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::any;
use futures_util::{SinkExt, StreamExt};
use tower_handoff::lifecycle::LifecycleHandle;

pub(crate) fn routes(lifecycle: LifecycleHandle) -> Router {
    Router::new()
        .route("/ws", any(upgrade))
        .with_state(lifecycle)
}

async fn upgrade(State(lifecycle): State<LifecycleHandle>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| echo(socket, lifecycle))
}

/// Ends with the client's close frame, when the client is gone, or when the drain's time is over:
/// it shows how a client that never answers stands in the report.
async fn echo(socket: WebSocket, lifecycle: LifecycleHandle) {
    let goodbye = CloseFrame {
        code: close_code::AWAY,
        reason: "draining".into(),
    };
    let goodbye = Message::Close(Some(goodbye));
    let watch = lifecycle.watch();
    let mut socket = watch.close_at_drain(socket, goodbye, Duration::MAX);
    while let Some(Ok(message)) = socket.next().await {
        let echoed = matches!(message, Message::Text(_) | Message::Binary(_));
        if echoed && socket.send(message).await.is_err() {
            return;
        }
    }
}
