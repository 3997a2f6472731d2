//! Locks whose keys are on different nodes, and move.

use std::convert::Infallible;
use std::time::Duration;

use tower_handoff::lock::{LockErrorKind, LockKey, LockKeys, Locks};
use tower_handoff::once::{Job, Once, Outcome};
use tower_handoff::redis::RedisHandle;

use super::{connect, names_on};
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::redis_cluster::RedisCluster;

fn locks(handle: &RedisHandle) -> Locks {
    let locks = Locks::new(handle.locks()).with_wait(PATIENCE);
    locks
        .and_then(|locks| locks.with_lease(Duration::from_secs(2)))
        .expect("in range")
}

fn key(name: &str) -> LockKey {
    LockKey::new(name).expect("short")
}

/// One for each master.
fn keys(cluster: &RedisCluster, test: &str) -> [String; 3] {
    names_on(cluster, |at| format!("{test}{at}"))
}

#[tokio::test]
async fn a_lock_is_handed_over_by_a_message_on_every_node() {
    let cluster = RedisCluster::shared().await;
    let fleet = [connect(&cluster).await, connect(&cluster).await];
    let fleet = fleet.each_ref().map(locks);
    for name in keys(&cluster, "handed") {
        let mut holder = fleet[0].acquire(key(&name)).await.expect("free");
        // Whoever is not woken looks after a second at the soonest: as many would take too long.
        let passed_on = async {
            for turn in 0..2 * PATIENCE.as_secs() {
                let next = fleet[(turn as usize + 1) % 2].clone();
                let wanted = key(&name);
                let waiting = tokio::spawn(async move { next.acquire(wanted).await });
                let line = format!("app:l1:{{{name}}}:q");
                let node = &cluster.nodes[cluster.owner(cluster.slot_of(&name))];
                eventually("it stands in line", async || {
                    node.command(&["EXISTS", &line]) == redis::Value::Int(1)
                })
                .await;
                let before = holder.fence();
                drop(holder);
                holder = waiting.await.expect("no panic").expect("granted");
                assert!(holder.fence() > before, "fences grow");
            }
        };
        tokio::time::timeout(PATIENCE, passed_on)
            .await
            .expect("nobody is woken");
    }
}

#[tokio::test]
async fn a_lock_that_is_held_and_waited_for_moves_with_its_slot() {
    let cluster = RedisCluster::start().await;
    let fleet = [connect(&cluster).await, connect(&cluster).await];
    let [ours, theirs] = fleet.each_ref().map(locks);
    let slot = cluster.slot_of("travels");
    let held = ours.acquire(key("travels")).await.expect("free");
    let waiting = tokio::spawn(async move { theirs.acquire(key("travels")).await });
    let line = "app:l1:{travels}:q";
    eventually("it stands in line", async || {
        let node = &cluster.nodes[cluster.owner(slot)];
        node.command(&["EXISTS", line]) == redis::Value::Int(1)
    })
    .await;

    // Twice round, longer than its lease in all: it is renewed wherever it is.
    let begun = tokio::time::Instant::now();
    let mut lap = 0;
    while begun.elapsed() < Duration::from_secs(5) || lap < 6 {
        cluster.begin_move(slot, (cluster.owner(slot) + 1) % 3);
        tokio::time::sleep(Duration::from_millis(150)).await;
        let to = (cluster.owner(slot) + 1) % 3;
        cluster.move_keys(slot, to);
        tokio::time::sleep(Duration::from_millis(150)).await;
        cluster.end_move(slot, to);
        tokio::time::sleep(Duration::from_millis(150)).await;
        eventually("all agree", async || {
            (0..6).all(|node| cluster.owner_by(node, slot) == to)
        })
        .await;
        held.check().expect("still ours");
        lap += 1;
    }
    assert!(!waiting.is_finished(), "it was ours all the time");
    let fence = held.fence();
    drop(held);
    let next = waiting.await.expect("no panic").expect("granted");
    assert!(next.fence() > fence);
}

/// What another node publishes is heard too, also of a script that counted nobody who heard it and
/// gave the key to the next.
#[tokio::test]
async fn a_message_alone_grants_nothing() {
    let cluster = RedisCluster::start().await;
    let fleet = [connect(&cluster).await, connect(&cluster).await];
    let [ours, theirs] = fleet.each_ref().map(locks);
    let held = ours.acquire(key("forged")).await.expect("free");
    let waiting = tokio::spawn(async move { theirs.acquire(key("forged")).await });
    let owner = cluster.owner(cluster.slot_of("forged"));
    let mut entry = Vec::new();
    eventually("it stands in line", async || {
        let line = cluster.nodes[owner].command(&["LRANGE", "app:l1:{forged}:q", "0", "0"]);
        let line: Vec<Vec<u8>> = redis::from_redis_value(line).expect("a list");
        entry = line.into_iter().next().unwrap_or_default();
        !entry.is_empty()
    })
    .await;
    let (token, channel) = entry.split_at(17);
    // For a minute from now on, by any clock.
    let (fence, deadline) = (held.fence().get() + 1, held.fence().get() / 1000 + 60_000);
    let message = [token, format!("{fence:016}{deadline:016}0").as_bytes()].concat();
    cluster.nodes[owner].command(&["CONFIG", "RESETSTAT"]);
    let elsewhere = &cluster.nodes[(owner + 1) % 3];
    let client = redis::Client::open(elsewhere.url()).expect("a good url");
    let mut connection = client.get_connection().expect("it answers");
    let publish = redis::cmd("PUBLISH").arg(channel).arg(message).clone();
    let _: i64 = publish.query(&mut connection).expect("published");
    eventually("it asks", async || {
        let counts = cluster.nodes[owner].command_counts();
        counts.get("lpos").copied().unwrap_or(0) > 0
    })
    .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished(), "the key is held");
    held.check().expect("by us");
    drop(held);
    drop(waiting.await.expect("no panic").expect("granted"));
}

#[tokio::test]
async fn several_keys_on_different_nodes_are_locked_all_or_none() {
    let cluster = RedisCluster::shared().await;
    let fleet = [connect(&cluster).await, connect(&cluster).await];
    let [ours, theirs] = fleet.each_ref().map(locks);
    let names = keys(&cluster, "several");
    let all = || LockKeys::new(names.each_ref().map(|name| key(name))).expect("three");
    let held = ours.acquire(all()).await.expect("free");
    for name in &names {
        let busy = theirs.try_acquire(key(name)).await.expect_err("held");
        assert_eq!(busy.kind(), LockErrorKind::Busy);
    }
    drop(held);
    let one = theirs.acquire(key(&names[2])).await.expect("let go");
    let busy = ours.try_acquire(all()).await.expect_err("one is held");
    assert_eq!(busy.kind(), LockErrorKind::Busy);
    for name in &names[..2] {
        let free = async || theirs.try_acquire(key(name)).await.is_ok();
        eventually("the others were given back", free).await;
    }
    drop(one);
}

#[tokio::test]
async fn a_job_runs_once_and_its_result_is_read_by_others() {
    let cluster = RedisCluster::shared().await;
    let fleet = [connect(&cluster).await, connect(&cluster).await];
    let [ours, theirs] = fleet.each_ref().map(|handle| Once::new(handle.once()));
    for name in keys(&cluster, "once") {
        let job = Job::new(&name).expect("a good name");
        let job = job
            .with_fresh_for(Duration::from_secs(60))
            .expect("in range");
        let run = |number: u32| async move { Ok::<_, Infallible>(number) };
        let ran = ours.run(&job, |_| run(1)).await.expect("carried out");
        assert_eq!(ran, Outcome::Ran(1));
        let read = theirs.run(&job, |_| run(2)).await.expect("read");
        assert_eq!(read, Outcome::Fresh(1));
    }
}

#[tokio::test]
async fn the_last_handle_s_end_is_that_of_every_task() {
    let cluster = RedisCluster::shared().await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let handle = connect(&cluster).await;
    let held = locks(&handle)
        .acquire(key("to-the-end"))
        .await
        .expect("free");
    assert!(metrics.num_alive_tasks() > before);
    drop(held);
    drop(handle);
    eventually("no task is left", async || {
        metrics.num_alive_tasks() == before
    })
    .await;
    let handle = connect(&cluster).await;
    handle.close().await;
    eventually("no task is left", async || {
        metrics.num_alive_tasks() == before
    })
    .await;
}
