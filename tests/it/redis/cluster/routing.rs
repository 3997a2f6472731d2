//! Every command goes to whoever has its key, and nowhere else.

use std::collections::BTreeMap;

use redis::Value;
use tower_handoff::redis::{AwayCause, RedisErrorKind, RedisHandle, RedisStatus};

use super::command;
use crate::support::eventually::eventually;
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_server::{RedisServer, free_port};

#[tokio::test]
async fn keys_of_all_slots_are_found_without_a_redirect() {
    let cluster = RedisCluster::start().await;
    let handle = RedisHandle::connect(&cluster.url()).expect("a good url");
    eventually("it is up", async || handle.status().is_up()).await;
    for node in &cluster.nodes {
        node.command(&["CONFIG", "RESETSTAT"]);
    }
    let keys: Vec<String> = (0..300)
        .map(|at| match at % 3 {
            0 => format!("plain{at}"),
            1 => format!("a:{{tag{at}}}:b"),
            _ => format!("{{}}x{at}"),
        })
        .collect();
    for key in &keys {
        let set = handle.wire().send(command(&["SET", key, key])).await;
        assert_eq!(set.expect("carried out"), Value::Okay);
    }
    let mut owners = BTreeMap::new();
    for key in &keys {
        let at = cluster.owner(cluster.slot_of(key));
        *owners.entry(at).or_insert(0) += 1;
        let kept = cluster.nodes[at].command(&["GET", key]);
        assert_eq!(kept, Value::BulkString(key.clone().into_bytes()));
    }
    assert_eq!(owners.len(), 3, "the keys are spread: {owners:?}");
    for (at, count) in owners {
        let counts = cluster.nodes[at].command_counts();
        assert_eq!(counts.get("set"), Some(&count), "node {at}: {counts:?}");
        let stats = cluster.nodes[at].command(&["INFO", "errorstats"]);
        let stats: String = redis::from_redis_value(stats).expect("text");
        assert!(!stats.contains("MOVED"), "{stats}");
    }
    // A script's keys begin behind their number.
    let reply = handle.wire().run_echo(b"plain0", b"x").await.expect("run");
    assert!(matches!(reply, Value::Array(_)), "{reply:?}");
    handle.ping().await.expect("every node answers");
}

#[tokio::test]
async fn one_seed_is_enough_and_a_replica_will_do() {
    let cluster = RedisCluster::shared().await;
    let url = format!(
        "redis-cluster://127.0.0.1:1,127.0.0.1:{}",
        cluster.nodes[5].port()
    );
    let handle = RedisHandle::connect(&url).expect("a good url");
    handle.ping().await.expect("every node answers");
    for at in 0..20 {
        let key = format!("seed{at}");
        let set = handle.wire().send(command(&["SET", &key, "1"])).await;
        assert!(set.is_ok(), "{key}: {set:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_no_node_is_said_to_be_none() {
    let server = RedisServer::start();
    let locked = RedisServer::start_on(free_port(), &["--requirepass", "secret"]);
    for (server, userinfo, expected, word) in [
        (&server, "", AwayCause::Unsupported, "no node of a Cluster"),
        (&locked, "", AwayCause::Login, "NOAUTH"),
        (&locked, ":hunter2@", AwayCause::Login, "WRONGPASS"),
    ] {
        let url = format!("redis-cluster://{userinfo}127.0.0.1:{}", server.port());
        let handle = RedisHandle::connect(&url).expect("a good url");
        let error = handle.ping().await.expect_err("no cluster");
        assert_eq!(error.kind(), RedisErrorKind::Away);
        let status = handle.status();
        let shown = format!("{handle:?} {status:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        match status {
            RedisStatus::Away { cause, reason, .. } => {
                assert_eq!(cause, expected, "{reason}");
                assert!(reason.contains(word), "{reason}");
                assert!(reason.contains(&server.port().to_string()), "{reason}");
            }
            status => panic!("{status:?}"),
        }
    }
}

#[tokio::test]
async fn whoever_is_not_there_is_away_at_once_after_the_first_attempt() {
    let handle = RedisHandle::connect("redis-cluster://127.0.0.1:1").expect("a good url");
    for _ in 0..3 {
        let error = handle.ping().await.expect_err("nobody is there");
        assert_eq!(error.kind(), RedisErrorKind::Away);
    }
    handle.close().await;
    let error = handle.ping().await.expect_err("closed");
    assert!(error.to_string().contains("closed"), "{error}");
}

#[tokio::test]
async fn a_bad_url_is_named_with_its_password_masked() {
    for url in [
        "redis-cluster://",
        "redis-cluster://127.0.0.1:7000,",
        "redis-cluster://127.0.0.1:7000/1",
        "redis-cluster://127.0.0.1:7000/0/1",
        "redis-cluster://u:hunter2@127.0.0.1:0",
        "redis-cluster://u:hunter2@127.0.0.1:1,127.0.0.1:port",
        "redis-cluster://u:hunter2,127.0.0.1:7000",
        "redis-cluster://127.0.0.1:7000?password=hunter2",
        "redis-cluster:///run/redis.sock",
        "rediss-cluster://u:hunter2@127.0.0.1:0",
    ] {
        let error = RedisHandle::connect(url).expect_err(url);
        assert_eq!(error.option(), "url", "{url}");
        assert!(error.accepted().contains("redis-cluster://"), "{error}");
        let shown = format!("{error} {error:?} {:?}", RedisHandle::builder(url));
        assert!(!shown.contains("hunter2"), "{url}: {shown}");
    }
}
