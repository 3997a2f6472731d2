//! A Cluster whose nodes drop connections, and one of whose masters dies: until then one holds at a time,
//! and whatever the replica has not heard of, the fenced resource takes nobody's word after that of a
//! later one.

use std::collections::BTreeSet;

use tokio::time::sleep;

use super::KEYS;
use super::clock::now_us;
use super::judge::Whom;
use super::resource::Resource;
use super::take_over::TakeOver;
use crate::support::eventually::eventually;
use crate::support::random::Random;
use crate::support::redis_cluster::RedisCluster;

/// Grows with every fail-over, also one that nobody asked for.
fn fail_overs(cluster: &RedisCluster) -> u64 {
    let info = cluster.nodes[1].command(&["CLUSTER", "INFO"]);
    let info: String = redis::from_redis_value(info).expect("text");
    let mut lines = info.lines();
    let epoch = lines.find_map(|line| line.strip_prefix("cluster_current_epoch:"));
    epoch.expect("an epoch").parse().expect("a number")
}

/// Whatever node they are on.
async fn every_key_is_used(resource: &Resource) {
    let from = now_us();
    eventually("every key is used", async || {
        let (uses, _) = resource.history();
        let used = uses
            .iter()
            .filter(|each| each.accepted && each.asked_us > from);
        let used: BTreeSet<_> = used.map(|each| &each.key).collect();
        used.len() == KEYS as usize
    })
    .await;
}

/// On these nodes, one after the other. A busy machine may take a node for dead: then that is on record.
async fn connections_are_lost(
    cluster: &RedisCluster,
    nodes: &[usize],
    random: &mut Random,
    resource: &Resource,
) {
    for _ in 0..12 {
        let (epoch, from) = (fail_overs(cluster), now_us());
        let node = &cluster.nodes[nodes[random.index(nodes.len())]];
        let kind = ["normal", "pubsub"][random.index(2)];
        node.command(&["CLIENT", "KILL", "TYPE", kind]);
        sleep(random.ms(50..400)).await;
        resource.disturbed(Whom::Everybody, from);
        if fail_overs(cluster) != epoch {
            resource.disturbed(Whom::Data, from);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_fail_over_no_write_of_the_past_is_accepted() {
    let cluster = RedisCluster::start().await;
    let history = TakeOver::start(&cluster.url());
    let (mut random, resource) = (Random::new(history.seed), history.resource.clone());
    every_key_is_used(&resource).await;
    connections_are_lost(&cluster, &[0, 1, 2], &mut random, &resource).await;
    every_key_is_used(&resource).await;

    let (epoch, from) = (fail_overs(&cluster), now_us());
    cluster.nodes[0].signal("KILL");
    eventually("its replica has taken over", async || {
        fail_overs(&cluster) > epoch
    })
    .await;
    every_key_is_used(&resource).await;
    resource.disturbed(Whom::Data, from);
    resource.disturbed(Whom::Everybody, from);
    connections_are_lost(&cluster, &[1, 2, 3], &mut random, &resource).await;
    every_key_is_used(&resource).await;
    history.ends(300).await;
}
