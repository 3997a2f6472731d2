//! The same instance on `axum::serve` and on hyper-util, with answers that never end.

use std::convert::Infallible;
use std::future::{Future, IntoFuture, pending};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocketUpgrade, close_code};
use axum::response::sse::{Event, Sse};
use axum::routing::{any, get, post};
use futures_util::stream::{self, Stream, StreamExt};
use futures_util::{Sink, SinkExt};
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
        let lifecycle = builder.build().unwrap();
        let app = routes(&lifecycle).layer(ServiceBuilder::new().layer(lifecycle.layer()));
        Self::serve(server, lifecycle, tcp, app).await
    }

    pub(crate) async fn serve(
        server: Server,
        lifecycle: Lifecycle,
        tcp: TcpListener,
        app: Router,
    ) -> Self {
        let address = tcp.local_addr().unwrap();
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
            let mut builder = Builder::new(TokioExecutor::new());
            // As `axum::serve` does: WebSockets over HTTP/2.
            builder.http2().enable_connect_protocol();
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
    let closes = move |upgrade: WebSocketUpgrade, within: Duration| {
        upgrade.on_upgrade(move |socket| async move {
            let _ = echo(sockets.close_at_drain(socket, going_away(), within)).await;
        })
    };
    let polite =
        move |upgrade: WebSocketUpgrade| async move { closes(upgrade, Duration::from_secs(3600)) };
    let brief =
        move |upgrade: WebSocketUpgrade| async move { closes(upgrade, Duration::from_millis(200)) };
    let deaf = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|socket| async {
            let _ = echo(socket).await;
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
        .route("/brief", any(brief))
        .route("/deaf", any(deaf))
}

fn going_away() -> Message {
    Message::Close(Some(CloseFrame {
        code: close_code::AWAY,
        reason: "draining".into(),
    }))
}

/// As the docs of the lifecycle show it.
async fn echo<S>(mut socket: S) -> Result<(), axum::Error>
where
    S: Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin,
{
    while let Some(message) = socket.next().await {
        match message? {
            // Its answer goes out with the next next(), which then finds the end.
            Message::Close(_) => {}
            message => socket.send(message).await?,
        }
    }
    Ok(())
}
