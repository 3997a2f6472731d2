//! A master goes: its replica takes over, and the other nodes serve all the while.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower_handoff::lock::{LockKey, Locks};
use tower_handoff::redis::{RedisErrorKind, RedisHandle, RedisStatus};

use super::{command, connect, names_on};
use crate::support::eventually::eventually;
use crate::support::redis_cluster::RedisCluster;

/// What this process may take from a promotion to its service: generous, the slots are looked up every
/// 500 ms.
const FOLLOWED: Duration = Duration::from_secs(10);

/// One key that is counted up, and how each command ended.
#[derive(Default)]
struct Load {
    done: AtomicU64,
    unknown: AtomicU64,
    refused: AtomicU64,
}

impl Load {
    fn begin(
        handle: &RedisHandle,
        key: &str,
        stop: &Arc<AtomicBool>,
    ) -> (Arc<Self>, JoinHandle<()>) {
        let load = Arc::new(Self::default());
        let (wire, key, stop, kept) = (handle.wire(), key.to_owned(), stop.clone(), load.clone());
        let task = tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let outcome = match wire.send(command(&["INCR", &key])).await {
                    Ok(_) => &kept.done,
                    Err(error) if error.kind() == RedisErrorKind::Unknown => &kept.unknown,
                    Err(_) => &kept.refused,
                };
                outcome.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        (load, task)
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::SeqCst)
    }
}

async fn count(handle: &RedisHandle, key: &str) -> u64 {
    let value = handle
        .wire()
        .send(command(&["GET", key]))
        .await
        .expect("read");
    redis::from_redis_value(value).expect("a number")
}

async fn goes_on(what: &str, load: &Load) {
    let before = load.done();
    eventually(what, async || load.done() > before + 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_killed_is_replaced_and_the_others_serve_all_the_while() {
    let cluster = RedisCluster::start().await;
    let handle = connect(&cluster).await;
    let stop = Arc::new(AtomicBool::new(false));
    let keys = names_on(&cluster, |at| format!("kill{at}"));
    let (loads, tasks): (Vec<_>, Vec<_>) = (keys.iter())
        .map(|key| Load::begin(&handle, key, &stop))
        .unzip();
    for load in &loads {
        goes_on("all are served", load).await;
    }
    cluster.nodes[0].signal("KILL");
    eventually("it is away, and said to be", async || {
        match handle.status() {
            RedisStatus::Away { reason, .. } => {
                reason.contains(&format!("127.0.0.1:{}", cluster.nodes[0].port()))
            }
            _ => false,
        }
    })
    .await;
    assert!(handle.ping().await.is_err(), "one of them is away");
    goes_on("the second serves", &loads[1]).await;
    goes_on("the third serves", &loads[2]).await;
    eventually("the replica is promoted", async || {
        let role: Vec<redis::Value> =
            redis::from_redis_value(cluster.nodes[3].command(&["ROLE"])).expect("a role");
        role[0] == redis::Value::BulkString(b"master".to_vec())
    })
    .await;
    let promoted = Instant::now();
    goes_on("the replica has taken over", &loads[0]).await;
    let after = promoted.elapsed();
    println!("killed: {after:?} after its promotion the replica has served a hundred commands");
    assert!(after < FOLLOWED, "{after:?}");
    eventually("all is well", async || handle.status().is_up()).await;
    handle.ping().await.expect("every node answers");
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.expect("no panic");
    }
    assert!(loads[0].refused() > 0, "it was away for a while");
    for at in [1, 2] {
        assert_eq!(loads[at].refused(), 0, "node {at} was never away");
        let least = loads[at].done();
        let value = count(&handle, &keys[at]).await;
        let most = least + loads[at].unknown();
        assert!(
            (least..=most).contains(&value),
            "{least} <= {value} <= {most}"
        );
    }
    // What the replica had not been sent yet is lost: the documented promise.
    let value = count(&handle, &keys[0]).await;
    assert!(
        value <= loads[0].done() + loads[0].unknown(),
        "nothing twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_that_was_asked_for_loses_nothing() {
    let cluster = RedisCluster::start().await;
    let handle = connect(&cluster).await;
    let stop = Arc::new(AtomicBool::new(false));
    let [key, ..] = names_on(&cluster, |at| format!("asked{at}"));
    let (load, task) = Load::begin(&handle, &key, &stop);
    goes_on("it is served", &load).await;
    let slot = cluster.slot_of(&key);
    for to in [3, 0] {
        cluster.fail_over(slot, to).await;
        goes_on("it is served again", &load).await;
        eventually("all is well", async || handle.status().is_up()).await;
    }
    stop.store(true, Ordering::SeqCst);
    task.await.expect("no panic");
    let (least, most) = (load.done(), load.done() + load.unknown());
    let value = count(&handle, &key).await;
    assert!(
        (least..=most).contains(&value),
        "{least} <= {value} <= {most}"
    );
    eventually("nobody is connected to who has no slot", async || {
        let clients = cluster.nodes[3].command(&["CLIENT", "LIST", "TYPE", "normal"]);
        let clients: String = redis::from_redis_value(clients).expect("text");
        let mut others = clients.lines().filter(|client| {
            // The one who asks; one that keeps what the server is sent.
            !client.contains("cmd=client") && !client.contains("flags=O")
        });
        others.next().is_none()
    })
    .await;
}

/// What the locks guard: reads and writes in two steps, and refuses fences of old.
#[derive(Default)]
struct Resource {
    last: u64,
    value: u64,
    accepted: u64,
    fences: BTreeSet<u64>,
}

impl Resource {
    fn read(&mut self, fence: u64) -> Option<u64> {
        assert!(self.fences.insert(fence), "two grants under one fence");
        if fence < self.last {
            return None;
        }
        self.last = fence;
        Some(self.value)
    }

    fn write(&mut self, fence: u64, value: u64) {
        if fence == self.last {
            self.value = value;
            self.accepted += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_holders_meet_at_a_fenced_resource_through_a_fail_over() {
    let cluster = RedisCluster::start().await;
    let fleet = [connect(&cluster).await, connect(&cluster).await];
    let names = names_on(&cluster, |at| format!("fenced{at}"));
    let resources: Vec<_> = (0..3)
        .map(|_| Arc::new(Mutex::new(Resource::default())))
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for (name, resource) in names.iter().zip(&resources) {
        for at in 0..6 {
            let locks = Locks::new(fleet[at % 2].locks());
            let locks = locks
                .with_lease(Duration::from_millis(1500))
                .expect("in range");
            let key = LockKey::new(name.as_str()).expect("short");
            let (resource, stop) = (Arc::clone(resource), Arc::clone(&stop));
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let Ok(lock) = locks.acquire(key.clone()).await else {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    };
                    let fence = lock.fence().get();
                    let read = resource.lock().expect("no panic").read(fence);
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    if let Some(value) = read
                        && lock.check().is_ok()
                    {
                        resource.lock().expect("no panic").write(fence, value + 1);
                    }
                }
            }));
        }
    }
    let accepted = |at: usize| resources[at].lock().expect("no panic").accepted;
    let go_on = async |what: &str, at: usize| {
        let before = accepted(at);
        eventually(what, async || accepted(at) > before + 30).await;
    };
    for at in 0..3 {
        go_on("all are served", at).await;
    }
    cluster.nodes[3 + 1].command(&["CLUSTER", "FAILOVER"]);
    cluster.nodes[0].signal("KILL");
    go_on("the third node's lock is served meanwhile", 2).await;
    go_on("the second node's lock goes on", 1).await;
    go_on("the killed node's lock is served by its replica", 0).await;
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.expect("no panic");
    }
    for resource in resources {
        let resource = resource.lock().expect("no panic");
        assert_eq!(resource.value, resource.accepted, "an update is lost");
    }
}
