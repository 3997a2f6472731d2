//! A slot moves: nothing is lost, nothing is carried out twice.

use redis::Value;
use tower_handoff::redis::RedisErrorKind;

use super::{command, connect};
use crate::support::eventually::eventually;
use crate::support::redis_cluster::RedisCluster;

#[tokio::test]
async fn commands_follow_a_slot_that_moves() {
    let cluster = RedisCluster::start().await;
    let handle = connect(&cluster).await;
    let wire = handle.wire();
    let (old, new) = ("{moving}:old", "{moving}:new");
    let slot = cluster.slot_of(old);
    let (from, to) = (cluster.owner(slot), (cluster.owner(slot) + 1) % 3);
    wire.send(command(&["SET", old, "0"])).await.expect("set");
    let incr = |key: &'static str| {
        let wire = wire.clone();
        async move {
            wire.send(command(&["INCR", key]))
                .await
                .expect("carried out")
        }
    };

    // On its way: what is there is served by the old owner, what is not by the new one.
    cluster.begin_move(slot, to);
    assert_eq!(incr(old).await, Value::Int(1));
    assert_eq!(incr(new).await, Value::Int(1), "ASK is followed");
    // A script that the new owner does not know yet goes out again in full, and asks again too.
    let echo = wire.run_echo(b"{moving}:none", b"x").await.expect("run");
    assert!(matches!(echo, Value::Array(_)), "{echo:?}");
    // Some are here and some there: tried again, and in the end said so.
    let error = wire
        .send(command(&["MGET", old, new]))
        .await
        .expect_err("on its way");
    assert_eq!(
        (error.kind(), error.code()),
        (RedisErrorKind::Refused, Some("TRYAGAIN"))
    );
    let both = tokio::spawn({
        let wire = wire.clone();
        async move { wire.send(command(&["MGET", old, new])).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    cluster.move_keys(slot, to);
    let both = both.await.expect("no panic").expect("both have arrived");
    let one = || Value::BulkString(b"1".to_vec());
    assert_eq!(both, Value::Array(vec![one(), one()]));
    assert_eq!(incr(old).await, Value::Int(2), "it has arrived");

    // A crowd, while the owner changes.
    let crowd: Vec<_> = (0..200).map(|_| tokio::spawn(incr(old))).collect();
    let ended = tokio::task::spawn_blocking(move || {
        cluster.end_move(slot, to);
        cluster
    });
    let crowd2: Vec<_> = (0..200).map(|_| tokio::spawn(incr(old))).collect();
    let cluster = ended.await.expect("moved");
    for each in crowd.into_iter().chain(crowd2) {
        each.await.expect("carried out");
    }
    assert_eq!(incr(old).await, Value::Int(403), "each of them once");

    // Once known, it costs no redirect any more.
    eventually("the map is looked up again", async || {
        cluster.nodes[from].command(&["CONFIG", "RESETSTAT"]);
        incr(old).await;
        !cluster.nodes[from].command_counts().contains_key("incr")
    })
    .await;
}

#[tokio::test]
async fn a_command_whose_caller_is_gone_is_sent_on_all_the_same() {
    let cluster = RedisCluster::start().await;
    let handle = connect(&cluster).await;
    let key = "{posted}";
    let slot = cluster.slot_of(key);
    cluster.move_slot(slot, (cluster.owner(slot) + 1) % 3);
    handle.wire().post(command(&["SET", key, "1"]));
    eventually("it is carried out", async || {
        let get = handle.wire().send(command(&["GET", key])).await;
        get.is_ok_and(|value| value == Value::BulkString(b"1".to_vec()))
    })
    .await;
}

#[tokio::test]
async fn a_crowd_that_is_redirected_looks_the_slots_up_a_few_times_only() {
    let cluster = RedisCluster::start().await;
    let handle = connect(&cluster).await;
    let slot = cluster.slot_of("{crowd}");
    cluster.move_slot(slot, (cluster.owner(slot) + 1) % 3);
    let looks = || cluster.looks();
    let before = looks();
    let wire = handle.wire();
    let crowd: Vec<_> = (0..1000)
        .map(|_| {
            let wire = wire.clone();
            tokio::spawn(async move { wire.send(command(&["INCR", "{crowd}"])).await })
        })
        .collect();
    for each in crowd {
        each.await.expect("no panic").expect("carried out");
    }
    let count = wire.send(command(&["GET", "{crowd}"])).await.expect("got");
    assert_eq!(count, Value::BulkString(b"1000".to_vec()));
    // `owner_by` asks too, through `move_slot`; that was before.
    assert!(looks() - before <= 30, "{} looks", looks() - before);
}

#[tokio::test]
async fn nodes_that_point_at_each_other_are_asked_a_few_times_only() {
    let cluster = RedisCluster::start().await;
    let handle = connect(&cluster).await;
    let key = "{circle}";
    let slot = cluster.slot_of(key);
    let from = cluster.owner(slot);
    let to = (from + 1) % 3;
    for (at, other) in [(from, to), (to, from)] {
        let id = cluster.nodes[other].command(&["CLUSTER", "MYID"]);
        let id: String = redis::from_redis_value(id).expect("text");
        let slot = slot.to_string();
        cluster.nodes[at].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
    }
    let error = handle
        .wire()
        .send(command(&["GET", key]))
        .await
        .expect_err("nobody has it");
    assert_eq!(error.kind(), RedisErrorKind::Away, "{error}");
    let redirects = [from, to].map(|at| {
        let stats = cluster.nodes[at].command(&["INFO", "errorstats"]);
        let stats: String = redis::from_redis_value(stats).expect("text");
        let moved = stats
            .lines()
            .find_map(|line| line.strip_prefix("errorstat_MOVED:count="));
        moved.map_or(0, |count| count.trim().parse::<u32>().expect("a number"))
    });
    let redirects: u32 = redirects.iter().sum();
    assert!((2..=20).contains(&redirects), "{redirects}");
}

#[tokio::test]
async fn a_command_that_is_redirected_after_the_last_handle_is_gone_is_sent_on() {
    let cluster = RedisCluster::start().await;
    let (handle, other) = (connect(&cluster).await, connect(&cluster).await);
    let key = "{left-behind}";
    let slot = cluster.slot_of(key);
    cluster.move_slot(slot, (cluster.owner(slot) + 1) % 3);
    handle.wire().post(command(&["SET", key, "1"]));
    drop(handle);
    eventually("it is carried out", async || {
        let get = other.wire().send(command(&["GET", key])).await;
        get.is_ok_and(|value| value == Value::BulkString(b"1".to_vec()))
    })
    .await;
}

/// The other connections have nothing to wait for, and close long before.
#[tokio::test]
async fn what_is_redirected_while_the_handle_closes_was_not_sent() {
    let cluster = RedisCluster::start().await;
    let handle = connect(&cluster).await;
    let key = "{closing}";
    let slot = cluster.slot_of(key);
    let from = cluster.owner(slot);
    cluster.move_slot(slot, (from + 1) % 3);
    cluster.nodes[from].signal("STOP");
    let wire = handle.wire();
    let sent = tokio::spawn(async move { wire.send(command(&["SET", key, "1"])).await });
    tokio::task::yield_now().await;
    let go_on = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        cluster.nodes[from].signal("CONT");
    };
    tokio::join!(handle.close(), go_on);
    let error = sent.await.expect("no panic").expect_err("closed");
    assert_eq!(error.kind(), RedisErrorKind::Away, "{error}");
}
