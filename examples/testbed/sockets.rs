//! A WebSocket that says goodbye.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::any;
use tower_handoff::lifecycle::{LifecycleHandle, Phase};

pub(crate) fn routes(lifecycle: LifecycleHandle) -> Router {
    Router::new()
        .route("/ws", any(upgrade))
        .with_state(lifecycle)
}

async fn upgrade(State(lifecycle): State<LifecycleHandle>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| echo(socket, lifecycle))
}

/// Ends with the client's close frame, when the client is gone, or when the drain's time is over.
async fn echo(mut socket: WebSocket, lifecycle: LifecycleHandle) {
    let drain = lifecycle.watch().reached(Phase::Draining);
    let mut drain = std::pin::pin!(drain);
    let mut told = false;
    loop {
        tokio::select! {
            () = &mut drain, if !told => {
                told = true;
                let goodbye = CloseFrame { code: close_code::AWAY, reason: "draining".into() };
                if socket.send(Message::Close(Some(goodbye))).await.is_err() {
                    return;
                }
            }
            message = socket.recv() => match message {
                Some(Ok(echoed @ (Message::Text(_) | Message::Binary(_)))) if !told => {
                    if socket.send(echoed).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    }
}
