//! What locks in Redis cost: a guarded request in allocations, a held lock in bytes.

use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use tower::{Layer, service_fn};
use tower_handoff::lock::{LockBackend, LockKey, LockLayer, Locks, MemoryLocks};
use tower_handoff::redis::RedisHandle;

use super::redis_server::RedisServer;
use super::{BYTES, PEAK, allocations_of};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Beside what the request costs without the layer.
async fn guarded_by(locks: impl LockBackend) -> f64 {
    let cookie = HeaderValue::from_static("none");
    let handler = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let bare = allocations_of(handler, &cookie).await;
    let key = LockKey::new("till").expect("short");
    let layer = LockLayer::new(locks, key).with_methods([http::Method::GET]);
    allocations_of(layer.layer(handler), &cookie).await - bare
}

/// All that happens on the thread counts: layer, supervisor of the connection, client.
#[test]
fn a_guarded_request_allocates_within_its_budget() {
    let server = RedisServer::start();
    runtime().block_on(async {
        let redis = RedisHandle::connect(&server.url()).expect("the url is well-formed");
        let in_redis = guarded_by(redis.locks()).await;
        let in_memory = guarded_by(MemoryLocks::new()).await;
        let report = format!("guarded by Redis: {in_redis:+.2}, by memory: {in_memory:+.2}");
        println!("{report}");
        // One or two more where a long host's name makes the client's buffers grow once more.
        assert!(in_redis <= 35.0 && in_memory <= 10.0, "{report}");
    });
}

/// Where nobody is interested in the span of an acquisition, it is not there.
#[test]
fn a_span_that_no_subscriber_wants_allocates_nothing() {
    // With one subscriber alone tracing takes the answer of whichever thread comes first by a line, also of
    // one without a subscriber, for all.
    let beside = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR);
    let _beside = tracing::Dispatch::new(beside.with_writer(std::io::sink).finish());
    let guarded = |most: Option<tracing::Level>| {
        let _logging = most.map(|most| {
            let log = tracing_subscriber::fmt().with_max_level(most);
            tracing::subscriber::set_default(log.with_writer(std::io::sink).finish())
        });
        runtime().block_on(guarded_by(MemoryLocks::new()))
    };
    let [silent, unwanted, wanted] = [
        None,
        Some(tracing::Level::INFO),
        Some(tracing::Level::DEBUG),
    ]
    .map(guarded);
    let report =
        format!("no subscriber {silent:+.2}, of INFO {unwanted:+.2}, of DEBUG {wanted:+.2}");
    println!("{report}");
    assert!(
        // Each is of many requests: what else the thread does meanwhile is less than one each.
        silent <= 10.0 && unwanted < silent + 0.5 && wanted > silent + 0.5,
        "{report}"
    );
}

#[test]
fn ten_thousand_held_locks_cost_at_most_a_kibibyte_each() {
    const LOCKS: usize = 10_000;
    let server = RedisServer::start();
    runtime().block_on(async {
        let redis = RedisHandle::connect(&server.url()).expect("the url is well-formed");
        let hour = Duration::from_secs(3_600);
        let locks = Locks::new(redis.locks())
            .with_lease(hour)
            .expect("in range");
        let key = |number: usize| LockKey::new(format!("order:{number:06}")).expect("short");
        drop(locks.acquire(key(LOCKS)).await.expect("it is free"));
        let mut held = Vec::with_capacity(LOCKS);
        let before = BYTES.with(Cell::get);
        for number in 0..LOCKS {
            held.push(locks.acquire(key(number)).await.expect("it is free"));
        }
        let each = (BYTES.with(Cell::get) - before) / LOCKS;
        println!("{each} bytes a held lock");
        assert!(each <= 1024, "{each} bytes a held lock");

        // A new connection renews them all at once.
        let renewals = || server.command_counts().get("pexpire").copied().unwrap_or(0);
        let expected = renewals() + LOCKS as u64;
        PEAK.with(|peak| peak.set(0));
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        // The first to use the connection finds it gone.
        let _ = redis.ping().await;
        for _ in 0..2_000 {
            if renewals() >= expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let peak = (PEAK.with(Cell::get) - before) / LOCKS;
        println!("{peak} bytes a lock while all are renewed at once");
        assert_eq!(renewals(), expected, "each is renewed once");
        assert!(peak <= 1280, "{peak} bytes a lock while all are renewed");
    });
}
