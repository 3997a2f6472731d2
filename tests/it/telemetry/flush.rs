//! What a shutdown's flush waited for, and what it had to leave.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use tower::{Layer, service_fn};
use tower_handoff::Lifecycle;
use tower_handoff::lifecycle::{LifecycleBuilder, Managed};
use tower_handoff::lock::{LockKey, Locks};
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{
    Fault, FaultySessions, MemorySessions, Session, SessionLayer, SessionStore,
};

use super::in_process::recorded;
use crate::support::evidence::oneshot;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

/// What the flushes of a shutdown count that begins at once, and has so long for them.
async fn flushed(part: impl Managed, time: Duration) {
    all_flushed(Lifecycle::builder().manage(part), time).await;
}

async fn all_flushed(builder: LifecycleBuilder, time: Duration) {
    let lifecycle = builder
        .grace(Duration::from_secs(20))
        .settle(Duration::ZERO)
        .hook_time(time)
        .signals(false)
        .build()
        .expect("it fits");
    lifecycle.shutdown();
    let stop = lifecycle.stop_accepting();
    lifecycle.run(stop).await;
}

#[test]
fn a_flush_says_how_many_locks_redis_has_let_go_and_how_many_it_has_not() {
    for (answers, time, flushed_ones, lost) in [
        (true, Duration::from_secs(15), 3.0, 0.0),
        (false, Duration::from_millis(300), 0.0, 3.0),
        // Each has its last attempt, which fails.
        (false, Duration::from_secs(15), 0.0, 3.0),
    ] {
        let server = RedisServer::start();
        let scrape = recorded(async {
            // One that is asked in vain is waited for in full.
            let redis = match answers {
                true => patient(&server.url()),
                false => RedisHandle::connect(&server.url()).expect("well-formed"),
            };
            let locks = Locks::new(redis.locks());
            let mut held = Vec::new();
            for till in ["till-7", "till-8", "till-9", "till-10"] {
                let key = LockKey::new(till).expect("short");
                held.push(locks.acquire(&key).await.expect("it is free"));
            }
            // Let go before the shutdown: none of its business.
            held.pop().expect("four").release().await;
            if !answers {
                server.signal("STOP");
            }
            flushed(redis, time).await;
            server.signal("CONT");
        });
        scrape.is(&[
            (
                "shutdown_operations_total{outcome=\"flushed\"}",
                flushed_ones,
            ),
            ("shutdown_operations_total{outcome=\"lost\"}", lost),
        ]);
    }
}

#[test]
fn a_flush_says_how_many_commits_were_answered_and_how_many_were_not() {
    let second = Duration::from_secs(1);
    for (fault, time, flushed_ones, lost) in [
        (Fault::Slow(second), 15 * second, 1.0, 0.0),
        (Fault::Slow(5 * second), second / 5, 0.0, 1.0),
        (Fault::Hang(second), 15 * second, 0.0, 1.0),
    ] {
        let scrape = recorded(async {
            let sessions = commits(MemorySessions::new(), fault).await;
            flushed(sessions.commits(), time).await;
        });
        scrape.is(&[
            (
                "shutdown_operations_total{outcome=\"flushed\"}",
                flushed_ones,
            ),
            ("shutdown_operations_total{outcome=\"lost\"}", lost),
        ]);
    }
}

/// By the connection, and by the layer whose sessions it keeps.
#[test]
fn a_commit_that_two_parts_wait_for_is_counted_once() {
    let second = Duration::from_secs(1);
    for (fault, time, flushed_ones, lost) in [
        (Fault::Slow(second), 15 * second, 1.0, 0.0),
        (Fault::Slow(5 * second), second / 5, 0.0, 1.0),
    ] {
        let server = RedisServer::start();
        let scrape = recorded(async {
            let redis = patient(&server.url());
            let sessions = commits(redis.sessions(), fault).await;
            let both = Lifecycle::builder()
                .manage(redis)
                .manage(sessions.commits());
            all_flushed(both, time).await;
        });
        scrape.is(&[
            (
                "shutdown_operations_total{outcome=\"flushed\"}",
                flushed_ones,
            ),
            ("shutdown_operations_total{outcome=\"lost\"}", lost),
        ]);
    }
}

/// A layer with a commit under way that goes as `fault` says.
async fn commits(store: impl SessionStore, fault: Fault) -> SessionLayer {
    let store = FaultySessions::new(store);
    let sessions = SessionLayer::new(store.clone());
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let service = sessions.layer(service_fn(async |request: Request<Body>| {
        let session = Session::from_extensions(request.extensions()).expect("a layer");
        session.set("a", "1").expect("short");
        let detached = session.detach().await.expect("written").expect("there");
        let tell = tell.lock().expect("whole").take().expect("one");
        assert!(tell.send(detached).is_ok());
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    oneshot(service, Request::new(Body::empty()))
        .await
        .expect("served");
    let detached = told.await.expect("told");
    detached.commit().await.expect("nothing to write");

    store.fail(fault);
    detached.set("a", "2").expect("short");
    let before = store.operations();
    tokio::spawn(async move { drop(detached.commit().await) });
    while store.operations() == before {
        tokio::task::yield_now().await;
    }
    sessions
}
