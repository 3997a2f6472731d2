//! What operators learn of who holds a lock, and clients do not.

use std::time::SystemTime;

use axum::Router;
use axum::routing::post;
use http::{HeaderName, Request, StatusCode};
use tower::ServiceExt;
use tower_handoff::lock::{Holder, LockBackend, LockGuard, LockKey, LockLayer, Locks, key};
use tower_handoff::redis::RedisHandle;

use super::rig::{ms, on_both};
use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

on_both!(
    operators_learn_who_holds_a_lock_and_clients_do_not,
    what_a_client_says_is_a_word_and_no_more,
    code_that_is_no_request_has_the_name_it_was_given,
    who_had_it_from_another_one_is_told_of_at_its_renewal,
);

const SECRET: &str = "req-8f3a";

fn order() -> LockKey {
    LockKey::new("order:7").unwrap()
}

async fn holder(locks: &(impl LockBackend + Clone), key: &LockKey) -> Option<Holder> {
    Locks::new(locks.clone()).inspect(key).await.unwrap()
}

fn app(layer: LockLayer) -> Router {
    let hang = async |_: LockGuard| std::future::pending::<()>().await;
    Router::new().route("/orders/{id}/pay", post(hang).layer(layer))
}

fn request(header: &str, id: &[u8]) -> Request<axum::body::Body> {
    let request = Request::post("/orders/7/pay").header(header, id);
    request.body(axum::body::Body::empty()).unwrap()
}

async fn operators_learn_who_holds_a_lock_and_clients_do_not(locks: impl LockBackend + Clone) {
    let layer = LockLayer::new(locks.clone(), key::path("order:{id}")).with_name("pay");
    let begun = SystemTime::now();
    assert_eq!(holder(&locks, &order()).await, None);
    let app = app(layer.with_try());
    let held = tokio::spawn(
        app.clone()
            .oneshot(request("x-request-id", SECRET.as_bytes())),
    );
    eventually("it is held", async || {
        holder(&locks, &order()).await.is_some()
    })
    .await;
    let seen = holder(&locks, &order()).await.unwrap();
    let note = (seen.note.name(), seen.note.route(), seen.note.request_id());
    assert_eq!(note, (Some("pay"), Some("/orders/{id}/pay"), Some(SECRET)));
    assert_eq!(seen.pid, Some(std::process::id()));
    let host = seen.host.clone().unwrap();
    assert!(!host.is_empty());
    assert!(seen.remaining > ms(5_000) && seen.remaining <= ms(10_000));
    assert_eq!(seen.waiting, 0);
    // Both clocks are this machine's; fences are whole microseconds.
    assert!(seen.since() + ms(1_000) > begun && seen.since() <= SystemTime::now());

    let refused = app.oneshot(request("x-request-id", b"another")).await;
    let (head, body) = refused.unwrap().into_parts();
    assert_eq!(head.status, StatusCode::CONFLICT);
    let body = axum::body::to_bytes(body, 10_000).await.unwrap();
    let told = format!("{:?} {}", head.headers, String::from_utf8_lossy(&body));
    let pid = std::process::id().to_string();
    for secret in [SECRET, &host, &pid, "/orders/"] {
        assert!(!told.contains(secret), "a client is told {secret}: {told}");
    }
    held.abort();
    eventually("it is let go", async || {
        holder(&locks, &order()).await.is_none()
    })
    .await;
}

async fn what_a_client_says_is_a_word_and_no_more(locks: impl LockBackend + Clone) {
    let layer = LockLayer::new(locks.clone(), key::path("order:{id}"))
        .with_request_id(HeaderName::from_static("x-trace"));
    let evil = [&b"a b\xff-"[..], &[b'x'; 1_000]].concat();
    let held = tokio::spawn(app(layer).oneshot(request("x-trace", &evil)));
    eventually("it is held", async || {
        holder(&locks, &order()).await.is_some()
    })
    .await;
    let seen = holder(&locks, &order()).await.unwrap();
    let said = seen.note.request_id().unwrap();
    assert_eq!((&said[..6], said.len()), ("a_b_-x", 64));
    assert_eq!(seen.note.name(), None);
    held.abort();
}

async fn code_that_is_no_request_has_the_name_it_was_given(locks: impl LockBackend + Clone) {
    let named = Locks::new(locks.clone()).with_name("nightly report");
    let lock = named.acquire(order()).await.unwrap();
    let seen = named.inspect(&order()).await.unwrap().unwrap();
    assert_eq!(seen.note.as_str(), "nightly_report");
    assert_eq!(seen.fence, lock.fence());
    let others = Locks::new(locks.clone());
    let waits = tokio::spawn(async move { others.acquire(order()).await });
    // One that waits in the same process has no place in Redis's line while that need not know.
    tokio::task::yield_now().await;
    assert!(holder(&locks, &order()).await.unwrap().waiting <= 1);
    lock.release().await;
    let next = waits.await.unwrap().unwrap();
    assert_eq!(next.check().map_err(|e| e.kind()), Ok(()));
    drop(next);
    eventually("it is free", async || {
        holder(&locks, &order()).await.is_none()
    })
    .await;
}

async fn who_had_it_from_another_one_is_told_of_at_its_renewal(locks: impl LockBackend + Clone) {
    let of = |name| {
        let locks = Locks::new(locks.clone()).with_name(name);
        locks.with_lease(ms(4_500)).unwrap()
    };
    let first = of("first").acquire(order()).await.unwrap();
    let second = of("second");
    let waits = tokio::spawn(async move { second.acquire(order()).await.unwrap() });
    tokio::task::yield_now().await;
    first.release().await;
    let second = waits.await.unwrap();
    eventually("it is told", async || {
        let seen = holder(&locks, &order()).await.unwrap();
        seen.note.name() == Some("second")
    })
    .await;
    assert!(second.check().is_ok());
}

#[tokio::test]
async fn an_instance_is_told_from_others_by_its_name_and_redis_cli_shows_the_same() {
    let server = RedisServer::start();
    let handle = RedisHandle::builder(server.url()).instance_id("web-7@a/b:c");
    let [named, other] = [
        handle.connect().unwrap().locks(),
        patient(&server.url()).locks(),
    ];
    let lock = Locks::new(named.clone()).with_name("pay");
    let lock = lock.acquire(order()).await.unwrap();
    let seen = holder(&other, &order()).await.unwrap();
    assert_eq!(seen.instance.as_deref(), Some("web-7@a/b:c"));
    let waits = tokio::spawn(async move { Locks::new(other).acquire(order()).await.unwrap() });
    eventually("it waits in Redis's line", async || {
        holder(&named, &order()).await.unwrap().waiting == 1
    })
    .await;

    let key = "app:l1:{order:7}";
    let shown = |from: &str, to: &str| -> String {
        redis::from_redis_value(server.command(&["GETRANGE", key, from, to])).unwrap()
    };
    let text = shown("34", "-1");
    let expected = format!(
        "/web-7@a/b:c@{}:{} pay",
        seen.host.unwrap(),
        std::process::id()
    );
    assert!(
        text.starts_with("app:inbox1:") && text.ends_with(&expected),
        "{text}"
    );
    assert_eq!(shown("17", "32"), lock.fence().to_string());
    drop(lock);
    let next = waits.await.unwrap();
    let seen = holder(&named, &order()).await.unwrap();
    assert_ne!(seen.instance.as_deref(), Some("web-7@a/b:c"));
    assert_eq!(seen.fence, next.fence());
    for wrong in ["", "a b", &"x".repeat(65)] {
        let refused = RedisHandle::builder(server.url())
            .instance_id(wrong)
            .connect();
        assert_eq!(refused.unwrap_err().option(), "instance_id");
    }
}

/// Beside the lock's own, none: what operators are told rides along.
#[tokio::test]
async fn telling_operators_costs_no_command() {
    let server = RedisServer::start();
    let locks = patient(&server.url()).locks();
    let locks = Locks::new(locks).with_name("pay");
    locks.acquire(order()).await.unwrap().release().await;
    server.command(&["CONFIG", "RESETSTAT"]);
    locks.acquire(order()).await.unwrap().release().await;
    let mut counts = server.command_counts();
    counts.remove("info");
    let counts: Vec<_> = counts
        .iter()
        .map(|(name, calls)| (name.as_str(), *calls))
        .collect();
    assert_eq!(
        counts,
        [("evalsha", 2), ("get", 2), ("set", 2), ("time", 1)]
    );
    locks.inspect(&order()).await.unwrap();
    assert_eq!(server.command_counts()["evalsha"], 3);
}

/// The holder's process hears of the first who waits, whatever operators are told beside its channel.
#[tokio::test]
async fn what_operators_are_told_is_no_part_of_the_channel() {
    let server = RedisServer::start();
    let [here, rival] = [(); 2].map(|()| patient(&server.url()).locks());
    let named = Locks::new(here.clone()).with_name("pay");
    let lock = named.acquire(order()).await.unwrap();
    let told = server.command(&["GETRANGE", "app:l1:{order:7}", "34", "-1"]);
    let told: String = redis::from_redis_value(told).unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut ear = client.get_connection().unwrap();
    let mut ear = ear.as_pubsub();
    ear.subscribe(told.split(' ').next().unwrap()).unwrap();
    let waits = tokio::spawn(async move { Locks::new(rival).acquire(order()).await.unwrap() });
    eventually("it waits", async || {
        holder(&here, &order()).await.unwrap().waiting == 1
    })
    .await;
    // It was published before it could be seen in line.
    ear.set_read_timeout(Some(ms(20_000))).unwrap();
    let word: Vec<u8> = ear.get_message().unwrap().get_payload().unwrap();
    assert!(word.starts_with(b"w1") && word.len() == 18, "{word:?}");
    drop(lock);
    assert!(waits.await.unwrap().check().is_ok());
}
