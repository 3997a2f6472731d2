//! Those of one process behind one place in line.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use tokio::time::{sleep, timeout};
use tower_handoff::lock::{Acquired, Claim, LeaseTime, LockBackend, LockKey, RedisLocks, Released};

use super::rig::{is_free, ms, occupy};
use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

fn instance(server: &RedisServer) -> RedisLocks {
    patient(&server.url()).locks()
}

fn claim(key: &str) -> Claim {
    Claim::new(LockKey::new(key).unwrap(), LeaseTime::DEFAULT)
}

async fn acquire(locks: &RedisLocks, claim: &Claim) -> u64 {
    match locks.acquire(claim, Some(ms(60_000))).await.unwrap() {
        Acquired::Granted(lease) => lease.fence().get(),
        other => panic!("{other:?}"),
    }
}

/// The inbox is subscribed at the first wait.
async fn warm_up(server: &RedisServer, locks: &RedisLocks) {
    let holder = occupy(&instance(server), "warm").await;
    let waiting = claim("x-lock:warm");
    let in_line = eventually("it is in line", async || {
        server.command(&["LLEN", "app:l1:{x-lock:warm}:q"]) == redis::Value::Int(1)
    });
    tokio::select! {
        _ = acquire(locks, &waiting) => panic!("it is held"),
        () = in_line => {}
    }
    locks.withdraw(&waiting).await.unwrap();
    holder.abort();
    eventually("it is free", async || is_free(server, "x-lock:warm")).await;
}

#[tokio::test]
async fn a_thousand_tasks_without_rivals_cost_ten_commands() {
    let server = RedisServer::start();
    let locks = instance(&server);
    warm_up(&server, &locks).await;
    server.command(&["CONFIG", "RESETSTAT"]);
    let fences = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let (locks, fences) = (locks.clone(), fences.clone());
            tokio::spawn(async move {
                let claim = claim("a");
                let fence = acquire(&locks, &claim).await;
                fences.lock().unwrap().push(fence);
                locks.release(&claim).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let fences = fences.lock().unwrap();
    assert_eq!(fences.len(), 1_000);
    assert!(
        fences.is_sorted_by(|a, b| a < b),
        "first come, first served"
    );
    let counts = server.command_counts();
    assert!(counts["evalsha"] <= 10, "{counts:?}");
    assert!(is_free(&server, "a"));
}

#[tokio::test]
async fn instances_take_turns_and_neither_starves() {
    let server = RedisServer::start();
    let instances = [instance(&server), instance(&server)];
    for locks in &instances {
        warm_up(&server, locks).await;
    }
    server.command(&["CONFIG", "RESETSTAT"]);
    let order = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..32)
        .map(|number| {
            let (locks, order) = (instances[number % 2].clone(), order.clone());
            tokio::spawn(async move {
                for _ in 0..40 {
                    let claim = claim("a");
                    let fence = acquire(&locks, &claim).await;
                    order.lock().unwrap().push((number, fence));
                    tokio::task::yield_now().await;
                    locks.release(&claim).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 32 * 40);
    assert!(order.is_sorted_by(|(_, a), (_, b)| a < b));
    // While both want it, neither keeps it for much more than a batch.
    let both = &order[64..640];
    let longest = both
        .chunk_by(|(a, _), (b, _)| a % 2 == b % 2)
        .map(<[_]>::len)
        .max();
    assert!(longest <= Some(64), "{longest:?} in a row");
    let evalsha = server.command_counts()["evalsha"];
    assert!(evalsha <= 32 * 40 / 4, "{evalsha} for {}", 32 * 40);
}

/// Without a word from the rival its process would go on for half of the lease.
fn for_hours() -> Claim {
    let lease = LeaseTime::new(ms(3_600_000)).unwrap();
    Claim::new(LockKey::new("a").unwrap(), lease)
}

#[tokio::test]
async fn a_holder_with_a_line_of_its_own_learns_that_others_wait() {
    let server = RedisServer::start();
    let (a, b) = (instance(&server), instance(&server));
    for locks in [&a, &b] {
        warm_up(&server, locks).await;
    }
    let (stop, passed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let (locks, stop, passed) = (a.clone(), stop.clone(), passed.clone());
            tokio::spawn(async move {
                while stop.load(Ordering::SeqCst) == 0 {
                    let claim = for_hours();
                    acquire(&locks, &claim).await;
                    passed.fetch_add(1, Ordering::SeqCst);
                    sleep(ms(1)).await;
                    locks.release(&claim).await.unwrap();
                }
            })
        })
        .collect();
    eventually("it is passed on", async || {
        passed.load(Ordering::SeqCst) > 50
    })
    .await;
    let rival = for_hours();
    server.command(&["CONFIG", "RESETSTAT"]);
    acquire(&b, &rival).await;
    let counts = server.command_counts();
    // Told, not looked for: no look at the lock, which comes after a second, was needed.
    assert!(
        counts["publish"] >= 1 && counts["evalsha"] <= 6,
        "{counts:?}"
    );
    b.release(&rival).await.unwrap();
    stop.store(1, Ordering::SeqCst);
    for task in busy {
        task.await.unwrap();
    }
}

/// Its only waiter has the key, so that for a moment nobody of this process waits.
#[tokio::test]
async fn a_holder_that_others_come_to_wait_behind_later_learns_that_rivals_wait() {
    let server = RedisServer::start();
    let (a, b) = (instance(&server), instance(&server));
    for locks in [&a, &b] {
        warm_up(&server, locks).await;
    }
    let (first, mut holder) = (for_hours(), for_hours());
    acquire(&b, &first).await;
    tokio::join!(acquire(&a, &holder), async {
        eventually("it is in Redis's line", async || {
            server.command(&["LLEN", "app:l1:{a}:q"]) == redis::Value::Int(1)
        })
        .await;
        b.release(&first).await.unwrap();
    });
    // In place of the lease of a hand-over: what half of it would not do is left to the message.
    a.renew(&holder).await.unwrap();
    let mut rival = None;
    for passes in 0.. {
        let next = for_hours();
        let mut turn = pin!(acquire(&a, &next));
        assert_eq!(turn.as_mut().now_or_never(), None, "it is held");
        sleep(ms(1)).await;
        a.release(&holder).await.unwrap();
        turn.await;
        holder = next.clone();
        match &rival {
            None => {
                let (b, claim) = (b.clone(), for_hours());
                rival = Some(tokio::spawn(async move {
                    acquire(&b, &claim).await;
                    b.release(&claim).await.unwrap();
                }));
            }
            Some(rival) if rival.is_finished() => break,
            Some(_) => assert!(passes < 2_000, "they keep it to themselves"),
        }
    }
    a.release(&holder).await.unwrap();
}

#[tokio::test]
async fn a_lease_that_is_over_is_passed_to_nobody() {
    let server = RedisServer::start();
    let locks = instance(&server);
    let lease = LeaseTime::new(ms(400)).unwrap();
    let first = Claim::new(LockKey::new("a").unwrap(), lease);
    let before = acquire(&locks, &first).await;
    let next = claim("a");
    // Nobody renews the first one's lease.
    let after = acquire(&locks, &next).await;
    assert!(after > before + 300_000, "by Redis, and not before the end");
    assert_eq!(locks.release(&first).await.unwrap(), Released::NotHeld);
    assert_eq!(locks.release(&next).await.unwrap(), Released::Freed);
}

/// What is written under a fence smaller than the largest seen is refused.
#[derive(Default)]
struct Resource {
    largest: u64,
    inside: u32,
}

#[tokio::test]
async fn histories_of_four_instances_with_cancels_never_overlap() {
    let server = RedisServer::start();
    let instances = [(); 4].map(|()| instance(&server));
    let resources: Arc<Vec<Mutex<Resource>>> = Arc::new((0..8).map(|_| Mutex::default()).collect());
    let tasks: Vec<_> = (0..64_u64)
        .map(|number| {
            let locks = instances[usize::try_from(number % 4).unwrap()].clone();
            let resources = resources.clone();
            tokio::spawn(async move {
                let mut random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
                let mut uses = 0;
                for _ in 0..60 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let which = usize::try_from(random % 8).unwrap();
                    let claim = claim(&format!("key {which}"));
                    if random.is_multiple_of(5) {
                        // A client that goes away, sooner or later, granted or not.
                        let patience = ms((random >> 8) % 8);
                        let _ = timeout(patience, locks.acquire(&claim, Some(ms(60_000)))).await;
                        locks.withdraw(&claim).await.unwrap();
                        continue;
                    }
                    let fence = acquire(&locks, &claim).await;
                    {
                        let mut resource = resources[which].lock().unwrap();
                        assert!(fence > resource.largest, "{fence} {}", resource.largest);
                        resource.largest = fence;
                        resource.inside += 1;
                        assert_eq!(resource.inside, 1, "two at a time");
                    }
                    sleep(ms((random >> 16) % 3)).await;
                    resources[which].lock().unwrap().inside -= 1;
                    locks.release(&claim).await.unwrap();
                    uses += 1;
                }
                uses
            })
        })
        .collect();
    for task in tasks {
        let uses = timeout(ms(120_000), task).await.expect("nobody starves");
        assert!(uses.unwrap() > 20);
    }
    eventually("all is let go", async || {
        (0..8).all(|key| is_free(&server, &format!("key {key}")))
    })
    .await;
}
