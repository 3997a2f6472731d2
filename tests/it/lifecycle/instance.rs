//! The same instance on `axum::serve` and on hyper-util, with answers that never end.

use std::convert::Infallible;
use std::future::{Future, IntoFuture, pending};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::sse::{Event, Sse};
use axum::routing::{any, get, post};
use futures_util::stream::{self, StreamExt};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tower::ServiceBuilder;
use tower_handoff::lifecycle::{
    Lifecycle, LifecycleBuilder, LifecycleHandle, Phase, Report, ServerOutput, TrackedListener,
};

use super::common::within;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Axum,
    Hyper,
}

pub(crate) const SERVERS: [Server; 2] = [Server::Axum, Server::Hyper];

pub(crate) const LARGE: usize = 32 << 20;

pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    pub(crate) handle: LifecycleHandle,
    pub(crate) run: JoinHandle<Report>,
}

impl Instance {
    pub(crate) async fn start(server: Server, builder: LifecycleBuilder) -> Self {
        Self::start_with(server, builder, routes).await
    }

    /// With other routes, and the lifecycle's layers around them.
    pub(crate) async fn start_with(
        server: Server,
        builder: LifecycleBuilder,
        routes: impl FnOnce(&Lifecycle) -> Router,
    ) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let lifecycle = builder.build().unwrap();
        let app = routes(&lifecycle).layer(ServiceBuilder::new().layer(lifecycle.layer()));
        match server {
            Server::Axum => {
                let listener = lifecycle.listener(tcp);
                let server = axum::serve(listener, app)
                    .with_graceful_shutdown(lifecycle.stop_accepting())
                    .into_future();
                Self::run(address, lifecycle, server).await
            }
            Server::Hyper => {
                let server = accept(lifecycle.tcp_listener(tcp), app);
                Self::run(address, lifecycle, server).await
            }
        }
    }

    async fn run<S>(address: SocketAddr, lifecycle: Lifecycle, server: S) -> Self
    where
        S: Future<Output: ServerOutput> + Send + 'static,
    {
        let handle = lifecycle.handle();
        let run = tokio::spawn(lifecycle.run(server));
        handle.watch().reached(Phase::Ready).await;
        Self {
            address,
            handle,
            run,
        }
    }

    pub(crate) async fn report(self) -> Report {
        within("the run", self.run).await.unwrap()
    }
}

async fn accept(mut listener: TrackedListener, app: Router) {
    let mut connections = JoinSet::new();
    while let Some((stream, _peer)) = listener.accept().await {
        let (goodbye, service) = (stream.goodbye(), TowerToHyperService::new(app.clone()));
        connections.spawn(async move {
            let builder = Builder::new(TokioExecutor::new());
            let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
            let mut served = pin!(served);
            tokio::select! {
                _ = served.as_mut() => return,
                () = goodbye => served.as_mut().graceful_shutdown(),
            }
            let _ = served.await;
        });
        while connections.try_join_next().is_some() {}
    }
    while connections.join_next().await.is_some() {}
}

fn routes(lifecycle: &Lifecycle) -> Router {
    let (events, sockets) = (lifecycle.watch(), lifecycle.watch());
    let ticks = || {
        stream::unfold((), |()| async {
            sleep(Duration::from_millis(5)).await;
            Some((Event::default().data("tick"), ()))
        })
    };
    let endless = move || async move { Sse::new(ticks().map(Ok::<_, Infallible>)) };
    let events = move || async move {
        let bye = stream::iter([Event::default().event("bye")]);
        Sse::new(
            events
                .until_drain(ticks())
                .chain(bye)
                .map(Ok::<_, Infallible>),
        )
    };
    let polite = move |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(move |socket| async move {
            let _ = echo(socket, sockets.reached(Phase::Draining)).await;
        })
    };
    let deaf = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|socket| async {
            let _ = echo(socket, pending()).await;
        })
    };
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/never", get(pending::<&str>))
        .route("/large", get(|| async { vec![b'x'; LARGE] }))
        .route(
            "/upload",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
        .route("/unread", post(|| async { "early" }))
        .route("/events", get(events))
        .route("/endless", get(endless))
        .route("/ws", any(polite))
        .route("/deaf", any(deaf))
}

/// As the docs of the lifecycle show it.
async fn echo(
    mut socket: WebSocket,
    draining: impl Future<Output = ()>,
) -> Result<(), axum::Error> {
    let mut draining = pin!(draining);
    loop {
        tokio::select! {
            () = &mut draining => break,
            message = socket.recv() => match message.transpose()? {
                None => return Ok(()),
                // Its answer goes out with the next recv(), which then finds the end.
                Some(Message::Close(_)) => {}
                Some(message) => socket.send(message).await?,
            }
        }
    }
    let goodbye = CloseFrame {
        code: close_code::AWAY,
        reason: "draining".into(),
    };
    socket.send(Message::Close(Some(goodbye))).await?;
    while socket.recv().await.transpose()?.is_some() {}
    Ok(())
}
