//! What an instance holds, and how it lets go of it at the end.

use http::StatusCode;
use tower_handoff::lock::{LockBackend, LockErrorKind, MemoryLocks, RedisLocks};
use tower_handoff::redis::RedisHandle;
use tower_handoff::{Reason, Refusal};

use super::rig::{
    fencing, guarded, hanging, is_free, layer, ms, occupy, on_both, send, status, text,
};
use crate::support::bad_line::BadLine;
use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;
use crate::support::stalls::undisturbed;

on_both!(
    what_is_held_has_a_name,
    a_closed_list_grants_nothing_and_lets_those_inside_finish,
    the_end_takes_every_lock_away_from_who_still_works_under_it,
);

async fn what_is_held_has_a_name(locks: impl LockBackend + Clone) {
    let _holders = [occupy(&locks, "b").await, occupy(&locks, "a").await];
    let names: Vec<_> = locks
        .held()
        .names()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["x-lock:a", "x-lock:b"]);
}

async fn a_closed_list_grants_nothing_and_lets_those_inside_finish(
    locks: impl LockBackend + Clone,
) {
    let held = locks.held();
    let holder = occupy(&locks, "a").await;
    let waiting = {
        let service = fencing(&layer(&locks));
        tokio::spawn(async move { send(&service, "a").await })
    };
    tokio::task::yield_now().await;
    held.close();
    for answer in [
        waiting.await.unwrap(),
        send(&fencing(&layer(&locks)), "b").await,
    ] {
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            answer.extensions().get::<Refusal>().unwrap().reason,
            Reason::Draining
        );
    }
    assert_eq!(held.names().len(), 1);
    holder.abort();
    eventually("the last one is let go", async || held.names().is_empty()).await;
}

async fn the_end_takes_every_lock_away_from_who_still_works_under_it(
    locks: impl LockBackend + Clone,
) {
    let held = locks.held();
    let stopping = layer(&locks).with_on_lost(tower_handoff::lock::OnLost::Stop);
    let stopped = {
        let service = hanging(&stopping);
        tokio::spawn(async move { status(&service, "a").await })
    };
    let told = {
        let service = guarded(&layer(&locks), |guard| async move {
            guard.lost().await;
            assert_eq!(guard.check().unwrap_err().kind(), LockErrorKind::Lost);
            "told".to_owned()
        });
        tokio::spawn(async move { text(send(&service, "b").await).await })
    };
    eventually("both are held", async || held.names().len() == 2).await;
    held.release_all().await;
    assert!(held.names().is_empty() && held.is_closed());
    assert_eq!(stopped.await.unwrap(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(told.await.unwrap(), "told");
    held.release_all().await; // again is harmless
}

#[tokio::test]
async fn the_end_waits_until_redis_has_every_release() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    for key in ["a", "b", "c"] {
        drop(occupy(&handle.locks(), key).await);
    }
    let dropped = occupy(&handle.locks(), "d").await;
    dropped.abort();
    let _ = dropped.await;
    handle.locks().held().release_all().await;
    let keys: Vec<String> = redis::from_redis_value(server.command(&["KEYS", "*"])).unwrap();
    let all_free = ["a", "b", "c", "d"].map(|key| is_free(&server, &format!("x-lock:{key}")));
    assert_eq!((keys.len(), all_free), (4, [true; 4]), "{keys:?}");
}

#[tokio::test]
async fn the_end_waits_no_longer_than_redis_takes_to_fail() {
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).unwrap();
    let locks = handle.locks();
    let _holder = occupy(&locks, "a").await;
    server.signal("STOP");
    let end = locks.held();
    tokio::time::timeout(std::time::Duration::from_secs(10), end.release_all())
        .await
        .expect("Redis is silent, and the end comes all the same");
    server.signal("CONT");
}

/// Redis is connected to, it knows the scripts, and nothing is under way.
async fn at_rest(server: &RedisServer, locks: &RedisLocks) {
    assert_eq!(
        status(&fencing(&layer(locks)), "warm").await,
        StatusCode::OK
    );
    eventually("nothing is under way", async || {
        is_free(server, "x-lock:warm")
    })
    .await;
}

/// Nobody saw what became of the acquire, and Redis has not yet said that it is taken back.
#[tokio::test]
async fn the_end_waits_for_a_claim_that_is_taken_back_while_redis_is_silent() {
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).unwrap();
    let locks = handle.locks();
    let service = hanging(&layer(&locks).with_lease(ms(3_600_000)).unwrap());
    at_rest(&server, &locks).await;
    server.signal("STOP");
    let cancelled = tokio::time::timeout(ms(100), send(&service, "a")).await;
    assert!(cancelled.is_err(), "Redis is silent");
    let held = locks.held();
    let mut end = std::pin::pin!(held.release_all());
    let early = tokio::time::timeout(ms(100), end.as_mut()).await;
    assert!(early.is_err(), "the claim may have been granted");
    server.signal("CONT");
    end.await;
    assert!(is_free(&server, "x-lock:a"));
}

/// The acquire is late, and overtaken by what takes it back: Redis grants it after that.
#[tokio::test]
async fn the_end_waits_for_a_claim_whose_acquire_is_still_on_its_way() {
    let late = undisturbed(async || {
        let server = RedisServer::start();
        let line = BadLine::start(server.port()).await;
        let handle = RedisHandle::connect(&line.url()).unwrap();
        let locks = handle.locks();
        let service = hanging(&layer(&locks).with_lease(ms(3_600_000)).unwrap());
        at_rest(&server, &locks).await;
        // Not so late that Redis would refuse it.
        line.delay(ms(700));
        let late = tokio::spawn(async move { send(&service, "a").await });
        tokio::time::sleep(ms(50)).await;
        line.delay(ms(0));
        line.cut();
        let answer = late.await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        locks.held().release_all().await;
        let late = server.command(&["EXISTS", "app:l1:{x-lock:a}"]);
        assert!(is_free(&server, "x-lock:a"), "it was granted after the end");
        late
    })
    .await;
    assert_eq!(late, redis::Value::Int(1), "it has come by now");
}

#[tokio::test]
async fn locks_of_one_handle_or_one_memory_share_their_list() {
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).unwrap();
    let _holder = occupy(&handle.locks(), "a").await;
    assert_eq!(handle.clone().locks().held().names().len(), 1);
    let memory = MemoryLocks::new();
    let _holder = occupy(&memory, "a").await;
    assert_eq!(memory.clone().held().names().len(), 1);
    assert!(MemoryLocks::new().held().names().is_empty());
}
