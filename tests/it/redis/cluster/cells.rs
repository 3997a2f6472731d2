//! What befalls a Cluster × what a request does: [`crate::redis::cells`] has the columns, the module above it
//! the table. CI runs all of this whole, and `./scripts/test long` does no more of it; of the first table's
//! rows it does ten times as much.

use std::time::Duration;

use http::StatusCode;
use redis::{Value, from_redis_value};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tower_handoff::redis::RedisHandle;

use super::{command, connect, names_on};
use crate::redis::cells::under_load::{Kept, Load, Terms, nothing_acknowledged_is_lost};
use crate::support::eventually::eventually;
use crate::support::redis_cluster::RedisCluster;

/// What a process may take from a promotion to its service: generous, the figure is what is printed. The
/// slots are looked up every 500 ms.
const FOLLOWED: Duration = Duration::from_secs(10);

/// Until everybody has asked.
const SOON: Duration = Duration::from_millis(100);

/// Scripts that the node has run.
fn ran(cluster: &RedisCluster, node: usize) -> u64 {
    let counts = cluster.nodes[node].command_counts();
    let counts = ["evalsha", "eval"].map(|name| counts.get(name).copied().unwrap_or(0));
    counts.iter().sum()
}

/// From the moment in which one of these nodes is a master until it has done what this process asks of it.
/// Prints how long that takes; which node it is.
async fn takes_over(
    cluster: &RedisCluster,
    handle: &RedisHandle,
    key: &str,
    nodes: &[usize],
    what: &str,
) -> usize {
    let mut node = None;
    eventually("a replica is promoted", async || {
        node = nodes.iter().find(|node| cluster.is_master(**node)).copied();
        node.is_some()
    })
    .await;
    let (node, begun) = (node.expect("one of them"), Instant::now());
    eventually("it serves", async || {
        let wire = handle.wire();
        wire.send(command(&["SET", key, what])).await.is_ok()
    })
    .await;
    let after = begun.elapsed();
    println!("{what}: {after:?} after its promotion the replica serves");
    assert!(after < FOLLOWED, "{after:?}");
    let there = cluster.nodes[node].command(&["GET", key]);
    assert_eq!(
        from_redis_value(there),
        Ok(what.to_owned()),
        "it was another one"
    );
    node
}

/// All masters, one after the other, give their place to their replicas, as an operator asks them to:
/// the documented promise is that nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fail_overs_under_load() {
    let cluster = RedisCluster::start().await;
    let url = cluster.url();
    let handle = connect(&cluster).await;
    nothing_acknowledged_is_lost(&url, move || {
        Handle::current().block_on(async {
            let keys = names_on(&cluster, |at| format!("planned{at}"));
            for (key, node) in keys.iter().zip(3..) {
                let (slot, replica) = (cluster.slot_of(key), [node]);
                tokio::join!(
                    cluster.fail_over(slot, node),
                    takes_over(&cluster, &handle, key, &replica, "asked for"),
                );
            }
        });
        cluster
    })
    .await;
}

/// SIGKILL in the midst of what is asked, and all of it is asked of that master: once it is known to be away
/// all that needs it is refused at once, and who was in line before; when a replica has taken over, everybody
/// is served. One replica is waited for, and the one that takes over has one, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_is_killed_under_load() {
    const REPLICAS: [usize; 2] = [3, 6];
    let cluster = RedisCluster::start_on_the_first().await;
    let terms = Terms {
        timeout: Duration::from_secs(1),
        lease: Duration::from_secs(3),
        replicas: 1,
    };
    let mut load = Load::start(&cluster.url(), terms).await;
    let redis = load.redis().clone();
    // Nobody takes over before it is known.
    cluster.replaces_the_dead(false);
    let mut in_line = load.puts_in_line().await;
    load.during(async {
        sleep(SOON).await;
        // What is written from now on nobody but the master has.
        for node in REPLICAS {
            cluster.nodes[node].signal("STOP");
        }
        cluster.nodes[0].command(&["CLIENT", "KILL", "TYPE", "replica"]);
        let before = ran(&cluster, 0);
        eventually("there is a lot", async || ran(&cluster, 0) > before + 16).await;
        cluster.nodes[0].signal("KILL");
        for node in REPLICAS {
            cluster.nodes[node].signal("CONT");
        }
        eventually("it is away", async || !redis.status().is_up()).await;
    })
    .await;
    // Each of the others has a slot: none of the locks and jobs is there, and hardly ever a session.
    let is_empty = |node: &usize| cluster.nodes[*node].command(&["DBSIZE"]) == Value::Int(0);
    if [1, 2].iter().all(is_empty) {
        assert_eq!(load.row().await, "+-------");
    }
    assert_eq!(in_line.refusal().await, StatusCode::SERVICE_UNAVAILABLE);
    drop(in_line);
    cluster.replaces_the_dead(true);
    let promoted = takes_over(&cluster, &redis, "killed", &REPLICAS, "killed");
    let master = load.during(promoted).await;
    load.settles(Kept::ByReplicas).await;
    eventually("no lock is held", async || {
        cluster.nodes[master].locks_in_force("app").is_empty()
    })
    .await;
}

/// Every slot that anything is in goes to the next node, those of the locks twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_under_load() {
    let cluster = RedisCluster::start().await;
    let url = cluster.url();
    let refused = nothing_acknowledged_is_lost(&url, move || {
        let locks = ["cells:a", "cells:wanted"].map(|name| cluster.slot_of(name));
        let sessions = (0..3).flat_map(|node| {
            let keys = cluster.nodes[node].command(&["KEYS", "app:s1:*"]);
            from_redis_value::<Vec<String>>(keys).expect("keys")
        });
        let sessions = sessions.map(|key| cluster.slot_of(&key));
        let slots: Vec<u16> = locks.into_iter().chain(sessions).chain(locks).collect();
        for slot in slots {
            cluster.move_slot(slot, (cluster.owner(slot) + 1) % 3);
        }
        cluster
    })
    .await;
    for (ask, count) in &refused {
        // Who has the slot now is found out on the way.
        let of_a_session = ["Read", "Write", "Rotate", "Logout"].contains(&ask.as_str());
        assert!(!of_a_session || *count == 0, "{ask}: {count} refused");
    }
}
