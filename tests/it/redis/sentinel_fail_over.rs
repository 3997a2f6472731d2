//! Fail-overs of a master with two replicas and three sentinels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::cmd;
use tokio::time::Instant;
use tower_handoff::redis::{RedisErrorKind, RedisHandle};

use crate::support::eventually::eventually;
use crate::support::redis_sentinel::Watched;
use crate::support::redis_server::RedisServer;

/// What `down-after-milliseconds`, an election and a switch may take together on a busy machine.
pub(super) const SWITCH: Duration = Duration::from_secs(30);

/// What this process may take from the naming of another master to its service: generous, it is heard of
/// at once, or asked for every second.
const FOLLOWED: Duration = Duration::from_secs(10);

/// The port of the server that the handle speaks to.
async fn served_by(handle: &RedisHandle) -> Option<u16> {
    let mut ask = cmd("CONFIG");
    ask.arg("GET").arg("port");
    let reply = handle.wire().send(ask).await.ok()?;
    let (_, port): (String, u16) = redis::from_redis_value::<Vec<(String, u16)>>(reply)
        .ok()?
        .pop()?;
    Some(port)
}

/// Waits until the handle is served by another server than `old`; its port.
///
/// Prints how long that takes, and when the first sentinel names another one.
pub(super) async fn moves_on(all: &Watched, handle: &RedisHandle, old: u16, what: &str) -> u16 {
    let begun = Instant::now();
    let mut named = None;
    loop {
        if named.is_none() && all.sentinels.iter().any(|each| each.master() != old) {
            named = Some(begun.elapsed());
        }
        match served_by(handle).await {
            Some(port) if port != old => {
                let after = begun.elapsed();
                println!(
                    "{what}: a sentinel names another one after {named:?}, it serves after {after:?}"
                );
                let named = named.unwrap_or(after);
                assert!(after - named < FOLLOWED, "{named:?}, then {after:?}");
                return port;
            }
            _ => assert!(begun.elapsed() < SWITCH, "it stays with {old}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Counters that are counted up at all times, each by one task, one step after the other.
struct Load {
    stop: Arc<AtomicBool>,
    counters: Vec<Counter>,
}

struct Counter {
    /// Steps that Redis has acknowledged, and those of which nobody knows.
    counts: Arc<[AtomicU64; 2]>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn start(handle: &RedisHandle, counters: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counter = |number| {
            let (wire, stop) = (handle.wire(), Arc::clone(&stop));
            let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
            let own = Arc::clone(&counts);
            let task = tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let mut step = cmd("INCR");
                    step.arg(format!("counter:{number}"));
                    match wire.send(step).await {
                        Ok(_) => own[0].fetch_add(1, Ordering::SeqCst),
                        Err(error) if error.kind() == RedisErrorKind::Unknown => {
                            own[1].fetch_add(1, Ordering::SeqCst)
                        }
                        Err(_) => {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                            continue;
                        }
                    };
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
            Counter { counts, task }
        };
        let counters = (0..counters).map(counter).collect();
        Self { stop, counters }
    }

    fn acknowledged(&self) -> u64 {
        let all = self.counters.iter();
        all.map(|counter| counter.counts[0].load(Ordering::SeqCst))
            .sum()
    }

    /// Ends it; how many acknowledged steps the master lacks. None is there twice.
    async fn lost(self, all: &Watched) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        let master = all.server(all.master());
        let mut lost = 0;
        for (number, Counter { counts, task }) in self.counters.into_iter().enumerate() {
            task.await.expect("no panic");
            let value = master.command(&["GET", &format!("counter:{number}")]);
            let value: u64 = redis::from_redis_value(value).expect("a number");
            let [acknowledged, unknown] = [0, 1].map(|which| counts[which].load(Ordering::SeqCst));
            assert!(
                value <= acknowledged + unknown,
                "{value} of {acknowledged} and {unknown}"
            );
            lost += acknowledged.saturating_sub(value);
        }
        lost
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planned_fail_overs_are_followed_under_load() {
    let all = Watched::start().await;
    let handle = RedisHandle::connect(&all.url()).expect("a good url");
    let load = Load::start(&handle, 4);
    let mut old = all.master();
    for _ in 0..2 {
        let before = load.acknowledged();
        eventually("steps are made", async || load.acknowledged() > before + 50).await;
        all.sentinels[0].command(&["SENTINEL", "FAILOVER", "main"]);
        old = moves_on(&all, &handle, old, "planned").await;
        all.settles().await;
    }
    println!(
        "planned fail-overs: {} acknowledged steps lost",
        load.lost(&all).await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_is_followed_by_the_one_that_the_sentinels_choose() {
    let all = Watched::start().await;
    let handle = RedisHandle::connect(&all.url()).expect("a good url");
    let load = Load::start(&handle, 4);
    eventually("steps are made", async || load.acknowledged() > 50).await;
    let old = all.master();
    all.server(old).signal("KILL");
    let new = moves_on(&all, &handle, old, "killed").await;
    let before = load.acknowledged();
    eventually("steps are made again", async || {
        load.acknowledged() > before + 50
    })
    .await;
    assert_eq!(all.master(), new);
    println!(
        "killed master: {} acknowledged steps lost",
        load.lost(&all).await
    );
}

/// Empty where it hangs up: whoever is made a replica ends its connections.
pub(super) fn role(server: &RedisServer) -> String {
    let Ok(role) = server.try_command(&["INFO", "replication"]) else {
        return String::new();
    };
    let role: String = redis::from_redis_value(role).expect("text");
    let line = role.lines().find_map(|line| line.strip_prefix("role:"));
    line.expect("a role").to_owned()
}

/// Commands of this name that the server has run.
pub(super) fn ran(server: &RedisServer, name: &str) -> u64 {
    server.command_counts().get(name).copied().unwrap_or(0)
}

// What is told from others by a command that is not replicated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_stood_still_is_never_spoken_to_again() {
    let all = Watched::start().await;
    let handle = RedisHandle::connect(&all.url()).expect("a good url");
    let old = all.master();
    handle.ping().await.expect("it is up");
    all.server(old).signal("STOP");
    let mut epochs = handle.wire().epochs();
    epochs.borrow_and_update();
    let new = tokio::time::timeout(SWITCH, epochs.wait_for(|epoch| *epoch > 1));
    new.await.expect("in time").expect("the handle lives");
    all.server(old).signal("CONT");
    let begun = Instant::now();
    let mut asked = 0;
    // Until the sentinels have made a replica of it, and for a while after.
    while begun.elapsed() < Duration::from_secs(3) || role(all.server(old)) != "slave" {
        assert!(begun.elapsed() < SWITCH, "it is not demoted");
        handle
            .wire()
            .send(cmd("DBSIZE"))
            .await
            .expect("the new one serves");
        asked += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(ran(all.server(old), "dbsize"), 0);
    assert_eq!(ran(all.server(all.master()), "dbsize"), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_lives_on_cut_off_from_the_sentinels_is_left() {
    let login = [
        "sentinel auth-user main sentinel",
        "sentinel auth-pass main pw",
    ];
    let all = Watched::start_with(&login).await;
    let url = all.url().replace("://", "://app:pw@");
    let handle = RedisHandle::connect(&url).expect("a good url");
    let old = all.master();
    handle.ping().await.expect("it is up");
    // The sentinels alone can reach it no longer, so that they can neither see nor demote it.
    let url = format!("redis://app:pw@127.0.0.1:{old}");
    let client = redis::Client::open(url).expect("the url is well-formed");
    let mut beside = client.get_connection().expect("it lets this user in");
    redis::pipe()
        .cmd("ACL")
        .arg(&["SETUSER", "default", "off"])
        .cmd("ACL")
        .arg(&["SETUSER", "sentinel", "off"])
        .cmd("CLIENT")
        .arg(&["KILL", "USER", "sentinel"])
        .exec(&mut beside)
        .expect("it is done");
    moves_on(&all, &handle, old, "cut off").await;
    // It still is a master, and would have taken every write.
    let mut seen = || {
        let info: String = cmd("INFO")
            .arg("everything")
            .query(&mut beside)
            .expect("text");
        assert!(info.contains("role:master"), "{info}");
        let line = info
            .lines()
            .find(|line| line.starts_with("cmdstat_dbsize:"));
        line.unwrap_or_default().to_owned()
    };
    assert_eq!(seen(), "");
    for _ in 0..100 {
        handle
            .wire()
            .send(cmd("DBSIZE"))
            .await
            .expect("the new one serves");
    }
    assert_eq!(seen(), "");
}
