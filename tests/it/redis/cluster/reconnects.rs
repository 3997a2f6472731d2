//! The connection to one node is lost: what is there is asked for again at once, and nothing else is.

use std::time::Duration;

use tower_handoff::lock::{LockKey, Locks};
use tower_handoff::redis::RedisHandle;

use super::{connect, names_on};
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::redis_cluster::RedisCluster;

/// Not renewed by itself for as long as a test lasts.
fn locks(handle: &RedisHandle) -> Locks {
    let locks = Locks::new(handle.locks()).with_lease(Duration::from_secs(3600));
    locks
        .and_then(|locks| locks.with_wait(4 * PATIENCE))
        .expect("in range")
}

fn key(name: &str) -> LockKey {
    LockKey::new(name).expect("short")
}

/// Renewals that the node has carried out. They look at the lease, as those do who ask whether it is their
/// turn; but these look for their place in line, too.
fn renewals(cluster: &RedisCluster, node: usize) -> u64 {
    let counts = cluster.nodes[node].command_counts();
    let [leases, places] = ["pttl", "lpos"].map(|name| counts.get(name).copied().unwrap_or(0));
    leases - places
}

#[tokio::test]
async fn locks_of_the_node_alone_are_renewed() {
    let cluster = RedisCluster::start().await;
    let [ours, theirs] = [connect(&cluster).await, connect(&cluster).await];
    let (ours, theirs) = (locks(&ours), locks(&theirs));
    let [first, second, _] = names_on(&cluster, |at| format!("held{at}"));
    let [_, wanted, _] = names_on(&cluster, |at| format!("wanted{at}"));
    let held = [
        ours.acquire(key(&first)).await.expect("free"),
        ours.acquire(key(&second)).await.expect("free"),
        theirs.acquire(key(&wanted)).await.expect("free"),
    ];
    // In line on the second node.
    let waiting = tokio::spawn(async move { ours.acquire(key(&wanted)).await });
    eventually("it stands in line", async || {
        let lines = cluster.nodes[1].command(&["KEYS", "app:l1:*:q"]);
        redis::from_redis_value::<Vec<String>>(lines).is_ok_and(|lines| lines.len() == 1)
    })
    .await;
    let elsewhere = renewals(&cluster, 1);
    for _ in 0..20 {
        let before = renewals(&cluster, 0);
        // Who has subscribed to something is of another type.
        for kind in ["normal", "pubsub"] {
            cluster.nodes[0].command(&["CLIENT", "KILL", "TYPE", kind]);
        }
        eventually("what is held there is renewed", async || {
            renewals(&cluster, 0) > before
        })
        .await;
    }
    assert_eq!(renewals(&cluster, 1), elsewhere);
    for lock in held {
        lock.check().expect("still held");
        drop(lock);
    }
    drop(waiting.await.expect("no panic").expect("granted"));
}
