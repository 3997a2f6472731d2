//! A master is away for good, or a slot is nobody's: what the others have is served.

use tower_handoff::lifecycle::Managed;
use tower_handoff::redis::{RedisHandle, RedisStatus};
use tower_handoff::session::{Revoke, SessionLayer, SessionStore};

use super::sessions::request;
use super::{command, connect, names_on};
use crate::support::eventually::eventually;
use crate::support::log::Log;
use crate::support::quiet_port::quiet_port;
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_server::RedisServer;
use crate::support::redis_server::binary::version;

/// Nobody takes over: master and replica at once.
async fn lose_the_first(cluster: &RedisCluster, handle: &RedisHandle) {
    for node in [3, 0] {
        cluster.nodes[node].signal("KILL");
    }
    eventually("it is away", async || !handle.status().is_up()).await;
}

async fn login(layer: &SessionLayer, user: &str) {
    let bound = request(layer, "", async |session| {
        session.bind(user).expect("a name");
    });
    bound.await;
}

#[tokio::test]
async fn every_session_on_a_node_that_is_there_is_ended() {
    let cluster = RedisCluster::start().await;
    let handle = connect(&cluster).await;
    let (store, layer) = (handle.sessions(), SessionLayer::new(handle.sessions()));
    let [_, user, _] = names_on(&cluster, |at| format!("user{at}"));
    // More than a page, on all nodes.
    for _ in 0..150 {
        login(&layer, &user).await;
    }
    lose_the_first(&cluster, &handle).await;
    let left = |node: usize| {
        let keys = cluster.nodes[node].command(&["KEYS", "app:s1:*"]);
        redis::from_redis_value::<Vec<String>>(keys).expect("keys")
    };
    assert!(!left(1).is_empty() && !left(2).is_empty());
    let ended = store.revoke(&user, Revoke::All).await;
    ended.expect_err("not all could be ended");
    assert_eq!([left(1).len(), left(2).len()], [0, 0], "the others were");
}

#[tokio::test]
async fn a_queue_that_is_shorter_than_a_page_of_the_list_is_enough() {
    let cluster = RedisCluster::shared().await;
    let handle = RedisHandle::builder(cluster.url()).queue_bound(8).connect();
    let handle = handle.expect("good settings");
    eventually("it is up", async || handle.status().is_up()).await;
    let (store, layer) = (handle.sessions(), SessionLayer::new(handle.sessions()));
    for _ in 0..60 {
        login(&layer, "short-queue").await;
    }
    let ended = store.revoke("short-queue", Revoke::All).await;
    assert_eq!(ended.expect("ended"), 60);
}

/// It stands still, so that the connection to it is about to be made for all of its time-out.
#[tokio::test]
async fn a_node_without_slots_that_a_redirect_names_is_not_missed() {
    let cluster = RedisCluster::start().await;
    let handle = connect(&cluster).await;
    let (port, bus) = (quiet_port(), quiet_port().to_string());
    let mut arguments = vec!["--cluster-enabled", "yes"];
    arguments.extend(["--cluster-announce-ip", "127.0.0.1"]);
    let bus = match version() >= (7, 0) {
        true => {
            arguments.extend(["--cluster-port", &bus]);
            bus.clone()
        }
        false => (port + 10_000).to_string(),
    };
    let spare = RedisServer::start_on(port, &arguments);
    let id = spare.command(&["CLUSTER", "MYID"]);
    let id: String = redis::from_redis_value(id).expect("text");
    let slot = cluster.slot_of("{spare}");
    let owner = &cluster.nodes[cluster.owner(slot)];
    owner.command(&["CLUSTER", "MEET", "127.0.0.1", &port.to_string(), &bus]);
    let slot = slot.to_string();
    let migrating = ["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id];
    eventually("they know each other", async || {
        owner.try_command(&migrating).is_ok()
    })
    .await;
    spare.signal("STOP");
    let asked = handle.wire().send(command(&["GET", "{spare}"])).await;
    asked.expect_err("it says nothing");
    let status = handle.status();
    assert!(status.is_up(), "{status:?}");
}

#[tokio::test]
async fn a_fresh_instance_becomes_ready_and_says_what_is_away() {
    let cluster = RedisCluster::start().await;
    let old = connect(&cluster).await;
    lose_the_first(&cluster, &old).await;
    let fresh = RedisHandle::connect(&cluster.url()).expect("a good url");
    let check = fresh.health_check().expect("there is one");
    eventually("the check passes once", async || {
        check.check().await.is_ok()
    })
    .await;
    let error = check.check().await.expect_err("a node is away");
    let node = format!("127.0.0.1:{}", cluster.nodes[0].port());
    let served = "of the cluster's slots are served by nobody";
    let said = error.to_string();
    assert!(said.contains(&node) || said.contains(served), "{said}");
    assert!(matches!(fresh.status(), RedisStatus::Away { .. }));
}

#[tokio::test]
async fn a_fresh_instance_of_a_cluster_that_is_gone_does_not() {
    let cluster = RedisCluster::start().await;
    let url = cluster.url();
    drop(cluster);
    let fresh = RedisHandle::connect(&url).expect("a good url");
    let check = fresh.health_check().expect("there is one");
    for _ in 0..3 {
        check.check().await.expect_err("nobody answers");
    }
}

// One thread, so that the subscriber of this thread sees the router too.
#[tokio::test]
async fn a_slot_that_stays_nobody_s_is_logged_once() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::WARN);
    let cluster = RedisCluster::start().await;
    let handle = connect(&cluster).await;
    let [key, ..] = names_on(&cluster, |at| format!("served{at}"));
    let [nobody, ..] = names_on(&cluster, |at| format!("nobody{at}"));
    let slot = cluster.slot_of(&nobody).to_string();
    // One node that serves nothing then, where the others serve all they have.
    let full = ["CONFIG", "SET", "cluster-require-full-coverage", "yes"];
    cluster.nodes[0].command(&full);
    for node in &cluster.nodes {
        node.command(&["CLUSTER", "DELSLOTS", &slot]);
    }
    let looks = || cluster.looks();
    let before = looks();
    eventually("it is looked for again and again", async || {
        let get = handle.wire().send(command(&["GET", &key])).await;
        get.is_err() && looks() > before + 8
    })
    .await;
    let text = log.text();
    let said = text.matches("the Redis Cluster is away").count();
    assert_eq!(said, 1, "{text}");
}
