//! The same layered service on two servers.

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower_handoff::Lifecycle;
use tower_handoff::lifecycle::{Report, TrackedListener};

use crate::config::Server;

pub(crate) async fn serve(
    lifecycle: Lifecycle,
    server: Server,
    tcp: TcpListener,
    app: Router,
) -> Report {
    let addr = tcp.local_addr();
    match server {
        Server::Axum => {
            let listener = lifecycle.listener(tcp);
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            let server =
                axum::serve(listener, app).with_graceful_shutdown(lifecycle.stop_accepting());
            lifecycle.run(announced(addr, server)).await
        }
        Server::Hyper => {
            let listener = lifecycle.tcp_listener(tcp);
            let server = accept(listener, app);
            lifecycle.run(announced(addr, server)).await
        }
    }
}

/// Says where it listens when the lifecycle runs: whoever reads that may send a signal at once.
async fn announced<S: IntoFuture>(addr: io::Result<SocketAddr>, server: S) -> S::Output {
    crate::announce("listening on", &addr);
    server.await
}

/// HTTP/1 and HTTP/2 without TLS on hyper-util, each connection told to end when its time comes.
async fn accept(mut listener: TrackedListener, app: Router) {
    let mut connections = JoinSet::new();
    while let Some((stream, _peer)) = listener.accept().await {
        let goodbye = stream.goodbye();
        let service = TowerToHyperService::new(app.clone());
        connections.spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                ended = connection.as_mut() => return drop(ended),
                () = goodbye => connection.as_mut().graceful_shutdown(),
            }
            // A client that hung up is the client's affair.
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
    while connections.join_next().await.is_some() {}
}
