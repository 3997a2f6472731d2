//! Writes and grants that wait for replicas: those of whoever has the key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use tower_handoff::lock::{LockErrorKind, LockKey, Locks};
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{Revoke, SessionErrorKind, SessionLayer, SessionStore};

use super::names_on;
use super::sessions::{answer, request};
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::redis_cluster::RedisCluster;

const WITHIN: Duration = Duration::from_millis(500);
const AWAY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// With time-outs that a busy machine keeps to.
async fn patient(cluster: &RedisCluster) -> RedisHandle {
    let builder = RedisHandle::builder(cluster.url()).command_timeout(PATIENCE);
    let handle = builder.connect().expect("good settings");
    eventually("it is up", async || handle.status().is_up()).await;
    handle
}

fn layers(handle: &RedisHandle) -> (SessionLayer, SessionLayer) {
    let durable = handle.sessions().replicas(1, WITHIN).expect("in range");
    (
        SessionLayer::new(handle.sessions()),
        SessionLayer::new(durable),
    )
}

fn sessions_on(cluster: &RedisCluster, node: usize) -> Vec<String> {
    let keys = cluster.nodes[node].command(&["KEYS", "app:s1:*"]);
    redis::from_redis_value(keys).expect("keys")
}

/// A new one; its cookie and its key.
async fn session_on(cluster: &RedisCluster, layer: &SessionLayer, node: usize) -> (String, String) {
    for _ in 0..100 {
        let before = sessions_on(cluster, node);
        let begun = request(layer, "", async |session| {
            session.set("n", &0).expect("small");
        });
        let cookie = begun.await;
        let mut now = sessions_on(cluster, node).into_iter();
        if let Some(key) = now.find(|key| !before.contains(key)) {
            return (cookie, key);
        }
    }
    panic!("one of a hundred is there");
}

async fn write(layer: &SessionLayer, cookie: &str, n: u64) -> StatusCode {
    let written = answer(layer, cookie, async |session| {
        session.set("n", &n).expect("small");
    });
    written.await.0
}

async fn is_written(layer: &SessionLayer, cookie: &str) {
    eventually("it is acknowledged again", async || {
        write(layer, cookie, 7).await == StatusCode::OK
    })
    .await;
}

fn waits(cluster: &RedisCluster) -> [u64; 3] {
    [0, 1, 2].map(|node| {
        let counts = cluster.nodes[node].command_counts();
        counts.get("wait").copied().unwrap_or(0)
    })
}

#[tokio::test]
async fn a_write_waits_for_the_replicas_of_the_node_that_has_the_session() {
    let cluster = RedisCluster::start().await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let handle = patient(&cluster).await;
    let (plain, durable) = layers(&handle);
    let (first, _) = session_on(&cluster, &plain, 0).await;
    let (second, _) = session_on(&cluster, &plain, 1).await;
    assert_eq!(waits(&cluster), [0; 3]);
    is_written(&durable, &first).await;
    is_written(&durable, &second).await;
    let waited = waits(&cluster);
    assert_eq!(write(&durable, &first, 8).await, StatusCode::OK);
    assert_eq!(waits(&cluster), [waited[0] + 1, waited[1], 0]);

    cluster.nodes[3].signal("STOP");
    assert_eq!(write(&durable, &first, 9).await, AWAY);
    assert_eq!(write(&durable, &second, 9).await, StatusCode::OK);
    let warning = handle.warning().expect("too few acknowledge");
    let node = format!("127.0.0.1:{}", cluster.nodes[0].port());
    assert!(warning.starts_with(&node), "{warning}");
    // A login writes the list of the user's sessions too, on the node of the user's name.
    let users = names_on(&cluster, |at| format!("user{at}"));
    let (other, _) = session_on(&cluster, &plain, 1).await;
    for (user, status) in users.iter().zip([AWAY, StatusCode::OK]) {
        let bound = answer(&durable, &other, async |session| {
            session.bind(user).expect("a name");
        });
        assert_eq!(bound.await.0, status, "{user}");
        if status == AWAY {
            cluster.nodes[3].signal("CONT");
            is_written(&durable, &first).await;
        }
    }
    handle.close().await;
    eventually("no task is left", async || {
        metrics.num_alive_tasks() == before
    })
    .await;
}

/// The node that the slot belongs to has sent the write on, and its replicas know nothing of it.
#[tokio::test]
async fn a_write_that_was_sent_on_waits_for_the_replicas_of_who_carried_it_out() {
    let cluster = RedisCluster::start().await;
    let handle = patient(&cluster).await;
    let (plain, durable) = layers(&handle);
    let (cookie, key) = session_on(&cluster, &plain, 0).await;
    let slot = cluster.slot_of(&key);
    cluster.begin_move(slot, 1);
    cluster.move_keys(slot, 1);
    is_written(&durable, &cookie).await;
    cluster.nodes[3].signal("STOP");
    assert_eq!(write(&durable, &cookie, 8).await, StatusCode::OK);
    cluster.nodes[3].signal("CONT");
    cluster.nodes[4].signal("STOP");
    assert_eq!(write(&durable, &cookie, 9).await, AWAY);
}

/// Deletions take no memory; nor may what their replicas are waited for with.
#[tokio::test]
async fn who_logs_out_while_there_is_no_memory_is_logged_out_for_good() {
    let cluster = RedisCluster::start().await;
    let handle = patient(&cluster).await;
    let (plain, durable) = layers(&handle);
    // The list of the user's sessions is on another node than these.
    let [_, user, _] = names_on(&cluster, |at| format!("user{at}"));
    let mut cookies = Vec::new();
    for _ in 0..3 {
        let (cookie, _) = session_on(&cluster, &plain, 0).await;
        let bound = request(&durable, &cookie, async |session| {
            session.bind(&user).expect("a name");
        });
        cookies.push(bound.await);
    }
    let of_replica = || sessions_on(&cluster, 3);
    assert_eq!(of_replica().len(), 3);
    for master in &cluster.nodes[..3] {
        master.command(&["CONFIG", "SET", "maxmemory", "1"]);
    }
    assert_eq!(write(&durable, &cookies[0], 8).await, AWAY, "it is full");
    let logout = async |cookie: &str| {
        let mut ended = None;
        let asked = answer(&durable, cookie, async |session| {
            ended = Some(session.destroy().await);
        });
        asked.await;
        ended.expect("it was asked for")
    };
    assert!(logout(&cookies[0]).await.expect("acknowledged"));
    assert_eq!(of_replica().len(), 2, "the replica has it");

    // It is acknowledged by who has it, and by nobody else.
    cluster.nodes[3].signal("STOP");
    let error = logout(&cookies[1]).await.expect_err("nobody has it");
    assert_eq!(error.kind(), SessionErrorKind::OutcomeUnknown, "{error}");
    cluster.nodes[3].signal("CONT");
    let stored = handle.sessions().replicas(1, WITHIN).expect("in range");
    eventually("all are ended for good", async || {
        stored.revoke(&user, Revoke::All).await.is_ok()
    })
    .await;
    assert!(of_replica().is_empty());
    let left = |node: usize| cluster.nodes[node].command(&["KEYS", "app:w1:*"]);
    assert!((0..6).all(|node| left(node) == redis::Value::Array(Vec::new())));
}

#[tokio::test]
async fn a_grant_that_too_few_replicas_of_its_node_have_is_given_back() {
    let cluster = RedisCluster::start().await;
    let handle = patient(&cluster).await;
    let durable = Locks::new(handle.locks().replicas(1, WITHIN).expect("in range"));
    let keys = names_on(&cluster, |at| format!("durable{at}"));
    let keys = keys.map(|name| LockKey::new(name).expect("short"));
    for key in &keys {
        eventually("its replica has it", async || {
            durable.try_acquire(key.clone()).await.is_ok()
        })
        .await;
    }
    cluster.nodes[4].signal("STOP");
    let error = durable.try_acquire(keys[1].clone()).await;
    let error = error.expect_err("too few have it");
    assert_eq!(error.kind(), LockErrorKind::Unavailable, "{error}");
    drop(
        durable
            .try_acquire(keys[0].clone())
            .await
            .expect("another node's"),
    );
    let plain = Locks::new(handle.locks());
    eventually("it was given back", async || {
        plain.try_acquire(keys[1].clone()).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_with_its_master() {
    let cluster = RedisCluster::start().await;
    let handle = RedisHandle::connect(&cluster.url()).expect("a good url");
    eventually("it is up", async || handle.status().is_up()).await;
    let durable = handle.sessions().replicas(1, WITHIN).expect("in range");
    let (plain, durable) = (
        SessionLayer::new(handle.sessions()),
        SessionLayer::new(durable),
    );
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for node in [0, 0, 0, 1] {
        let (cookie, _) = session_on(&cluster, &plain, node).await;
        let (layer, stop) = (durable.clone(), Arc::clone(&stop));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&acknowledged);
        let own = cookie.clone();
        let task = tokio::spawn(async move {
            let mut tried = 0;
            while !stop.load(Ordering::SeqCst) {
                tried += 1;
                match write(&layer, &own, tried).await {
                    StatusCode::OK => count.store(tried, Ordering::SeqCst),
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
            tried
        });
        writers.push((cookie, acknowledged, task));
    }
    let go_on = async |what: &str| {
        let all = || {
            writers
                .iter()
                .map(|(_, count, _)| count.load(Ordering::SeqCst))
        };
        let before: Vec<_> = all().collect();
        eventually(what, async || {
            all().zip(&before).all(|(now, before)| now > before + 20)
        })
        .await;
    };
    go_on("all are acknowledged").await;
    cluster.nodes[0].signal("KILL");
    eventually("its replica is the master", async || {
        let role = cluster.nodes[3].command(&["ROLE"]);
        let role: Vec<redis::Value> = redis::from_redis_value(role).expect("a role");
        role[0] == redis::Value::BulkString(b"master".to_vec())
    })
    .await;
    // It has no replica itself: what it writes is not acknowledged.
    let last: Vec<_> = (writers.iter())
        .map(|(_, count, _)| count.load(Ordering::SeqCst))
        .collect();
    eventually("the others go on", async || {
        writers[3].1.load(Ordering::SeqCst) > last[3] + 20
    })
    .await;
    eventually("all is well", async || handle.status().is_up()).await;
    stop.store(true, Ordering::SeqCst);
    for (cookie, acknowledged, task) in writers {
        let tried = task.await.expect("no panic");
        let least = acknowledged.load(Ordering::SeqCst);
        request(&plain, &cookie, async |session| {
            let n: Option<u64> = session.get("n").await.expect("read");
            let n = n.expect("an acknowledged session is there");
            assert!((least..=tried).contains(&n), "{least} <= {n} <= {tried}");
        })
        .await;
    }
}
