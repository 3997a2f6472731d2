//! The layers on hyper-util, without axum: `cargo run --example hyper`, then try what it prints.
//!
//! In memory unless `REDIS_URL` is set. The plain cookie is for http on localhost: it gives up
//! protection against whoever can read or write the network.

use std::convert::Infallible;
use std::pin::pin;
use std::process::ExitCode;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::{server::conn::auto, service::TowerToHyperService};
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_handoff::lock::LockBackend;
use tower_handoff::session::{Session, SessionCookie, SessionStore};
use tower_handoff::{
    BoxError, Lifecycle, LockLayer, MemoryLocks, MemorySessions, RedisHandle, SessionLayer, key,
};

async fn home(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let visits = match Session::from_extensions(request.extensions()) {
        Ok(session) => session
            .increment("visits", 1)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let text = visits.map_or_else(|error| error, |visits| format!("visit {visits}\n"));
    Ok(Response::new(Full::new(text.into())))
}

async fn run(
    lifecycle: Lifecycle,
    sessions: impl SessionStore,
    locks: impl LockBackend,
) -> Result<ExitCode, BoxError> {
    let app = ServiceBuilder::new()
        .layer(lifecycle.layer())
        .layer(SessionLayer::new(sessions).with_cookie(SessionCookie::insecure_localhost()))
        .layer(LockLayer::new(locks, key::header(header::HOST)))
        .service(service_fn(home));
    let probes = lifecycle.probes();
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, probes) = (app.clone(), probes.clone());
        async move {
            match request.uri().path() {
                "/" => app
                    .oneshot(request)
                    .await
                    .map(|response| response.map(Either::Left)),
                _ => probes
                    .oneshot(request)
                    .await
                    .map(|response| response.map(Either::Right)),
            }
        }
    });
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://localhost:3000 counts your visits; http://localhost:3000/ready is the probe.");
    println!("Ctrl-C shows the drain and its report.");
    let mut listener = lifecycle.tcp_listener(tcp);
    let accept = async move {
        let mut connections = JoinSet::new();
        while let Some((stream, _peer)) = listener.accept().await {
            let (goodbye, service) = (stream.goodbye(), TowerToHyperService::new(service.clone()));
            connections.spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
                tokio::select! {
                    ended = connection.as_mut() => return drop(ended),
                    () = goodbye => connection.as_mut().graceful_shutdown(),
                }
                drop(connection.await);
            });
            while connections.try_join_next().is_some() {}
        }
        connections.join_all().await;
    };
    let report = lifecycle.run(accept).await;
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.exit_code())
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let Ok(url) = std::env::var("REDIS_URL") else {
        return run(
            Lifecycle::builder().build()?,
            MemorySessions::new(),
            MemoryLocks::new(),
        )
        .await;
    };
    let redis = RedisHandle::connect(&url)?;
    run(
        Lifecycle::builder().manage(redis.clone()).build()?,
        redis.sessions(),
        redis.locks(),
    )
    .await
}
