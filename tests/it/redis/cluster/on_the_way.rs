//! Locks whose slot is on its way to another node, when the last in line is served: the line is gone
//! then, and Redis ends a script that looks for a key that is not there.

use std::time::Duration;

use redis::{Value, from_redis_value};
use tower_handoff::lock::{LockKey, Locks};
use tower_handoff::redis::RedisHandle;

use super::connect;
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::redis_cluster::RedisCluster;

fn locks(handle: &RedisHandle) -> Locks {
    Locks::new(handle.locks())
        .with_wait(PATIENCE)
        .and_then(|locks| locks.with_lease(Duration::from_secs(20)))
        .expect("in range")
}

fn key(name: &str) -> LockKey {
    LockKey::new(name).expect("short")
}

/// What the node itself holds.
fn value(cluster: &RedisCluster, node: usize, key: &str) -> Vec<u8> {
    from_redis_value(cluster.nodes[node].command(&["GET", key])).expect("bytes")
}

async fn stands_in_line(cluster: &RedisCluster, node: usize, line: &str) {
    eventually("it stands in line", async || {
        cluster.nodes[node].command(&["EXISTS", line]) == Value::Int(1)
    })
    .await;
}

#[tokio::test]
async fn a_release_serves_the_only_one_who_waits() {
    let cluster = RedisCluster::start().await;
    let fleet = [connect(&cluster).await, connect(&cluster).await];
    let [ours, theirs] = fleet.each_ref().map(locks);
    let held = ours.acquire(key("left")).await.expect("free");
    let waiting = tokio::spawn(async move { theirs.acquire(key("left")).await });
    let slot = cluster.slot_of("left");
    let (from, to) = (cluster.owner(slot), (cluster.owner(slot) + 1) % 3);
    stands_in_line(&cluster, from, "app:l1:{left}:q").await;
    let before = value(&cluster, from, "app:l1:{left}");
    let fence = held.fence();

    cluster.begin_move(slot, to);
    drop(held);
    eventually("it is the waiter's", async || {
        let now = value(&cluster, from, "app:l1:{left}");
        now[0] == b'1' && now[1..17] != before[1..17]
    })
    .await;
    cluster.move_keys(slot, to);
    cluster.end_move(slot, to);
    let next = waiting.await.expect("no panic").expect("granted");
    assert!(next.fence() > fence);
}

#[tokio::test]
async fn who_finds_a_lease_ended_serves_the_only_one_who_waits() {
    let cluster = RedisCluster::start().await;
    let fleet = [connect(&cluster).await, connect(&cluster).await];
    let [ours, theirs] = fleet.each_ref().map(locks);
    let slot = cluster.slot_of("dead");
    let (from, to) = (cluster.owner(slot), (cluster.owner(slot) + 1) % 3);
    // Held for a minute by somebody who is gone.
    let (lock, line) = ("app:l1:{dead}", "app:l1:{dead}:q");
    let gone = "1gone-for-good---0000000000000007-nobody";
    cluster.nodes[from].command(&["SET", lock, gone, "PX", "86460000"]);
    let waiting = tokio::spawn(async move { theirs.acquire(key("dead")).await });
    stands_in_line(&cluster, from, line).await;

    cluster.begin_move(slot, to);
    cluster.nodes[from].command(&["PEXPIRE", lock, "86399000"]);
    let last = tokio::spawn(async move { ours.acquire(key("dead")).await });
    eventually("it is the waiter's", async || {
        !value(&cluster, from, lock).starts_with(&gone.as_bytes()[..17])
    })
    .await;
    cluster.move_keys(slot, to);
    cluster.end_move(slot, to);
    let next = waiting.await.expect("no panic").expect("granted");
    let fence = next.fence();
    drop(next);
    let last = last.await.expect("no panic").expect("granted");
    assert!(last.fence() > fence, "the first in line was served first");
}
