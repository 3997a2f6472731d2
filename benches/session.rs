//! What the session layer adds to a bare service: untouched, read, write; in memory and in Redis.
//!
//! `cargo bench --bench session`; needs a `redis-server` binary and starts one of its own.

use std::convert::Infallible;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{MemorySessions, Session, SessionLayer, SessionStore};

#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the integration tests, which use all of it"
)]
#[path = "../tests/it/support/redis_server.rs"]
mod redis_server;

#[derive(Clone, Copy)]
enum Work {
    Untouched,
    Read,
    BlindWrite,
    ReadThenWrite,
    Increment,
}

/// Fields of a usual session: ten, of about 50 bytes each.
fn fill(session: &Session) {
    for field in 0..10 {
        let set = session.set(&format!("field{field}"), &"x".repeat(40));
        set.expect("within the limits");
    }
}

async fn work(work: Work, session: Option<Session>) {
    let Some(session) = session else { return };
    if matches!(work, Work::Read | Work::ReadThenWrite) {
        let value = session.get::<String>("field7").await;
        assert!(black_box(value.expect("the store answers")).is_some());
    }
    if matches!(work, Work::BlindWrite | Work::ReadThenWrite) {
        session
            .set("field7", &"y".repeat(40))
            .expect("within the limits");
    }
    if matches!(work, Work::Increment) {
        session
            .increment("count", 1)
            .await
            .expect("the store answers");
    }
}

fn bench_store(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    store: impl SessionStore,
) {
    let layer = SessionLayer::new(store);
    let cookie = runtime.block_on(async {
        let mut service = layer.layer(service_fn(async |request: Request<()>| {
            fill(Session::from_extensions(request.extensions()).expect("the layer is there"));
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
        let Ok(response) = service.call(Request::new(())).await;
        let cookie = response.headers()[SET_COOKIE]
            .to_str()
            .expect("ASCII")
            .to_owned();
        HeaderValue::from_str(cookie.split(';').next().expect("a pair")).expect("a value")
    });
    for (label, kind) in [
        ("untouched", Work::Untouched),
        ("read", Work::Read),
        ("blind write", Work::BlindWrite),
        ("read then write", Work::ReadThenWrite),
        ("increment", Work::Increment),
    ] {
        let mut service = layer.layer(service_fn(move |request: Request<()>| {
            let session = match kind {
                Work::Untouched => None,
                _ => Session::from_extensions(request.extensions()).ok().cloned(),
            };
            async move {
                work(kind, session).await;
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        }));
        group.bench_function(format!("{name}/{label}"), |bencher| {
            bencher.iter(|| {
                let mut request = Request::new(());
                request.headers_mut().insert(COOKIE, cookie.clone());
                runtime.block_on(service.call(request))
            });
        });
    }
}

fn session(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("session");
    let mut bare = service_fn(async |request: Request<()>| {
        black_box(request);
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let cookie = HeaderValue::from_static("__Host-session=none");
    group.bench_function("bare service", |bencher| {
        bencher.iter(|| {
            let mut request = Request::new(());
            request.headers_mut().insert(COOKIE, cookie.clone());
            runtime.block_on(bare.call(request))
        });
    });
    bench_store(&mut group, &runtime, "memory", MemorySessions::new());
    let server = redis_server::RedisServer::start();
    let redis = RedisHandle::connect(&server.url()).expect("the url is well-formed");
    bench_store(&mut group, &runtime, "redis", redis.sessions());
    group.finish();
}

criterion_group!(benches, session);
criterion_main!(benches);
