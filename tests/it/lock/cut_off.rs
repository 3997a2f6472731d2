//! A holder that hears nothing any more, and an acquire that never heard.
//!
//! Of what can befall a lock, these were found in no suite of another library; each is tested here:
//!
//! - the answer of an acquire that was granted is lost: below;
//! - a request is dropped at each of its awaits: `cancelling.rs`;
//! - who loses the lock knows before another one holds it: below, `lease.rs`, and exactly in
//!   `histories`;
//! - fences grow after FLUSHALL: `fences.rs`; after a failover: below;
//! - a dead waiter is skipped, scripts are forgotten mid-wait, the subscription's connection is
//!   killed mid-wait: `hand_over.rs`;
//! - SIGTERM while locks are held: `e2e/lifecycle.rs` and `shutdown.rs`;
//! - `CLIENT PAUSE` and `DEBUG SLEEP` for longer than the lease: below.

use std::sync::Arc;

use http::StatusCode;
use tokio::sync::watch;
use tower_handoff::lock::{
    Acquired, Claim, LeaseTime, LockBackend, LockErrorKind, LockGuard, LockKey, RedisLocks,
    Released,
};
use tower_handoff::redis::RedisHandle;

use super::rig::{fencing, guarded, is_free, layer, ms, send, status, text};
use crate::support::bad_line::BadLine;
use crate::support::eventually::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis_server::RedisServer;

fn locks(url: &str) -> RedisLocks {
    RedisHandle::connect(url).unwrap().locks()
}

#[tokio::test]
async fn an_acquire_whose_answer_is_lost_leaves_nothing() {
    let server = RedisServer::start();
    let other = fencing(&layer(&locks(&server.url())).with_try());
    let hour = |locks: &RedisLocks| layer(locks).with_lease(ms(3_600_000)).unwrap();
    for waits in [false, true] {
        let line = BadLine::start(server.port()).await;
        let locks = locks(&line.url());
        let layer = match waits {
            true => hour(&locks),
            false => hour(&locks).with_try(),
        };
        let service = fencing(&layer);
        assert_eq!(
            status(&service, &format!("warm {waits}")).await,
            StatusCode::OK
        );
        line.swallow(true);
        let asked = tokio::spawn(async move { status(&service, "a").await });
        eventually("Redis has granted it", async || {
            !is_free(&server, "x-lock:a")
        })
        .await;
        assert_eq!(asked.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!is_free(&server, "x-lock:a"), "nobody could take it back");
        line.swallow(false);
        line.cut();
        eventually("it is taken back", async || {
            status(&other, "a").await == StatusCode::OK
        })
        .await;
        eventually("it is free", async || is_free(&server, "x-lock:a")).await;
    }
}

/// It had the key from another one of its process, and that one's claim is what Redis knows.
#[tokio::test]
async fn who_lets_go_after_its_lease_ran_out_leaves_no_key() {
    let server = RedisServer::start();
    let locks = locks(&server.url());
    let claim = || {
        Claim::new(
            LockKey::new("a").unwrap(),
            LeaseTime::new(ms(2_000)).unwrap(),
        )
    };
    let (first, next) = (claim(), claim());
    locks.acquire(&first, None).await.unwrap();
    let waiting = {
        let (locks, next) = (locks.clone(), next.clone());
        tokio::spawn(async move { locks.acquire(&next, Some(ms(60_000))).await.unwrap() })
    };
    // On this thread's runtime it is in line with its first poll.
    tokio::task::yield_now().await;
    assert_eq!(locks.release(&first).await.unwrap(), Released::HandedOver);
    let Acquired::Granted(lease) = waiting.await.unwrap() else {
        panic!("nobody else wants it");
    };
    tokio::time::sleep_until(lease.deadline()).await;
    locks.release(&next).await.unwrap();
    // A lease that ends by itself leaves its holder's name behind.
    assert!(is_free(&server, "a"), "it was let go");
}

/// Whoever is granted the key next looks at the guard of the one before.
async fn the_holder_knows_first(trouble: impl FnOnce(&Arc<RedisServer>, &Proxy)) {
    let server = Arc::new(RedisServer::start());
    let proxy = Proxy::start(server.port()).await;
    let (holders, others) = (locks(&proxy.url()), locks(&server.url()));
    let (show, mut shown) = watch::channel(None::<LockGuard>);
    let short = layer(&holders).with_lease(ms(1_000)).unwrap();
    let holder = guarded(&short, move |guard| {
        show.send_replace(Some(guard));
        std::future::pending()
    });
    let holder = tokio::spawn(async move { status(&holder, "a").await });
    shown.wait_for(Option::is_some).await.unwrap();
    let next = guarded(&layer(&others).with_wait(ms(60_000)).unwrap(), move |_| {
        let before = shown.borrow().clone().unwrap().check();
        async move { format!("{:?}", before.map_err(|error| error.kind())) }
    });
    let next = tokio::spawn(async move {
        // Those who wait put up with a silent Redis for a while, and may have to come again.
        for _ in 0..100 {
            let answer = send(&next, "a").await;
            if answer.status() == StatusCode::OK {
                return text(answer).await;
            }
            tokio::time::sleep(ms(50)).await;
        }
        panic!("never served");
    });
    eventually("it is in line", async || {
        let line = server.command(&["LLEN", "app:l1:{x-lock:a}:q"]);
        redis::from_redis_value::<u64>(line).unwrap() == 1
    })
    .await;
    trouble(&server, &proxy);
    let lost = Err::<(), _>(LockErrorKind::Lost);
    assert_eq!(next.await.unwrap(), format!("{lost:?}"));
    holder.abort();
}

#[tokio::test]
async fn a_holder_that_is_cut_off_knows_before_the_next_one_holds_the_key() {
    the_holder_knows_first(|_, proxy| proxy.black_hole(true)).await;
}

#[tokio::test]
async fn a_holder_knows_before_the_next_one_when_redis_pauses_its_clients() {
    the_holder_knows_first(|server, _| {
        server.command(&["CLIENT", "PAUSE", "2500"]);
    })
    .await;
}

#[tokio::test]
async fn a_holder_knows_before_the_next_one_when_redis_sleeps() {
    the_holder_knows_first(|server, _| {
        let server = Arc::clone(server);
        tokio::task::spawn_blocking(move || server.command(&["DEBUG", "SLEEP", "2.5"]));
    })
    .await;
}

#[tokio::test]
async fn fences_grow_across_a_failover_that_lost_the_last_of_them() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    new.command(&["REPLICAOF", "127.0.0.1", &old.port().to_string()]);
    let service = fencing(&layer(&locks(&old.url())));
    let fence = async || {
        text(send(&service, "a").await)
            .await
            .parse::<u64>()
            .unwrap()
    };
    let first = fence().await;
    eventually("it is replicated", async || {
        let value = new.command(&["GET", "app:l1:{x-lock:a}"]);
        value != redis::Value::Nil && is_free(&new, "x-lock:a")
    })
    .await;
    new.command(&["REPLICAOF", "NO", "ONE"]);
    let mut last = first;
    for _ in 0..10 {
        last = fence().await;
    }
    let service = fencing(&layer(&locks(&new.url())));
    let next: u64 = text(send(&service, "a").await).await.parse().unwrap();
    assert!(first < last && last < next, "{first} {last} {next}");
}
