//! The layers on hyper-util, without axum: `cargo run --example hyper`, then try what it prints.
//!
//! In memory unless `REDIS_URL` is set. The plain cookie is for http on localhost: it gives up
//! protection against whoever can read or write the network.

use std::{pin::pin, process::ExitCode};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::{server::conn::auto, service::TowerToHyperService};
use tokio::{net::TcpListener, task::JoinSet};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_handoff::session::{Session, SessionCookie};
use tower_handoff::{
    BoxError, Lifecycle, LockLayer, MemoryLocks, MemorySessions, RedisHandle, SessionLayer, key,
};

async fn home(request: Request<Incoming>) -> http::Result<Response<Full<Bytes>>> {
    let session = Session::from_extensions(request.extensions()).expect("inside its layer");
    let (status, text) = match session.increment("visits", 1).await {
        Ok(visits) => (StatusCode::OK, format!("visit {visits}\n")),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    };
    Response::builder().status(status).body(text.into())
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let (lifecycle, session, lock) = if let Ok(url) = std::env::var("REDIS_URL") {
        let redis = RedisHandle::connect(&url)?;
        let lock = LockLayer::new(redis.locks(), key::header(header::HOST));
        let session = SessionLayer::new(redis.sessions());
        let lifecycle = Lifecycle::builder().manage(redis).build()?;
        (lifecycle, session, lock)
    } else {
        let lock = LockLayer::new(MemoryLocks::new(), key::header(header::HOST));
        let session = SessionLayer::new(MemorySessions::new());
        (Lifecycle::builder().build()?, session, lock)
    };
    let app = ServiceBuilder::new()
        .layer(lifecycle.layer())
        .layer(session.with_cookie(SessionCookie::insecure_localhost()))
        .layer(lock)
        .service(service_fn(home));
    let probes = lifecycle.probes();
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, probes) = (app.clone(), probes.clone());
        async move {
            Ok::<_, http::Error>(match request.uri().path() {
                "/" => app.oneshot(request).await?.map(Either::Left),
                _ => probes.oneshot(request).await?.map(Either::Right),
            })
        }
    });
    let mut listener = lifecycle.tcp_listener(TcpListener::bind("127.0.0.1:3000").await?);
    println!("http://localhost:3000 counts visits, /ready is the probe, Ctrl-C shows the drain.");
    let accept = async move {
        let mut connections = JoinSet::new();
        while let Some((stream, _peer)) = listener.accept().await {
            let (goodbye, service) = (stream.goodbye(), TowerToHyperService::new(service.clone()));
            connections.spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = goodbye => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            });
            while connections.try_join_next().is_some() {}
        }
        connections.join_all().await;
    };
    let report = lifecycle.run(accept).await;
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.exit_code())
}
