//! What a Cluster does to itself × what a request does: [`crate::redis::cells`] has the columns.

use tokio::runtime::Handle;

use crate::redis::cells::under_load::nothing_acknowledged_is_lost;
use crate::support::redis_cluster::RedisCluster;

/// All masters, one after the other, give their place to their replicas, as an operator asks them to:
/// the documented promise is that nothing is lost. Named is the first slot of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fail_overs_under_load() {
    let cluster = RedisCluster::start().await;
    let url = cluster.url();
    nothing_acknowledged_is_lost(&url, move || {
        Handle::current().block_on(async {
            for (node, slot) in [0, 5461, 10922].into_iter().enumerate() {
                cluster.fail_over(slot, node + 3).await;
            }
        });
        cluster
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
            redis::from_redis_value::<Vec<String>>(keys).expect("keys")
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
