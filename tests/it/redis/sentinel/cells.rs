//! What befalls a master, its replicas and its sentinels × what a request does:
//! [`crate::redis::cells`] has the columns, the module above it the table. CI runs all of this whole, and
//! `./scripts/test long` does no more of it; of the first table's rows it does ten times as much.

use std::time::Duration;

use http::StatusCode;
use redis::cmd;
use tokio::time::{Instant, sleep};
use tower_handoff::redis::{AwayCause, RedisStatus};

use crate::redis::cells::under_load::{Kept, Load, Terms};
use crate::redis::sentinel_fail_over::{SWITCH, moves_on, ran, role};
use crate::support::eventually::eventually;
use crate::support::redis_sentinel::Watched;
use crate::support::redis_server::RedisServer;

/// Until everybody has asked.
const SOON: Duration = Duration::from_millis(100);
/// Until the sentinels, who are asked once a second, have been asked again.
const A_WHILE: Duration = Duration::from_secs(2);

const ALL: &str = "++++++++";

async fn load(all: &Watched, replicas: u8) -> Load {
    let terms = Terms {
        timeout: Duration::from_secs(1),
        lease: Duration::from_secs(3),
        replicas,
    };
    Load::start(&all.url(), terms).await
}

async fn settles(all: &Watched, load: &mut Load, kept: Kept) {
    load.settles(kept).await;
    // The first one may be dead.
    let master = all.server(all.sentinels[1].master());
    eventually("no lock is held", async || {
        master.locks_in_force("app").is_empty()
    })
    .await;
}

/// The signal comes in the midst of what is asked. Once the master is known to be away, all that needs it
/// is refused at once, and who was in line before; when there is another one, everybody is served.
async fn is_replaced(all: &Watched, load: &mut Load, signal: &str) {
    let (old, redis) = (all.master(), load.redis().clone());
    // Nobody takes over before it is known.
    all.fails_over_after(Duration::from_secs(3600));
    let mut in_line = load.puts_in_line().await;
    load.during(async {
        sleep(SOON).await;
        all.server(old).signal(signal);
        eventually("it is away", async || {
            matches!(redis.status(), RedisStatus::Away { cause, .. } if cause == AwayCause::Unreachable)
        })
        .await;
    })
    .await;
    assert_eq!(load.row().await, "+-------");
    assert_eq!(in_line.refusal().await, StatusCode::SERVICE_UNAVAILABLE);
    drop(in_line);
    all.fails_over_after(Duration::from_secs(1));
    load.during(moves_on(all, &redis, old, signal)).await;
    settles(all, load, Kept::ByReplicas).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_is_killed() {
    let all = Watched::start().await;
    let mut load = load(&all, 1).await;
    is_replaced(&all, &mut load, "KILL").await;
}

/// It does not know that there is another one, and takes whatever it is sent until it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_is_paused_past_all_time_outs_and_comes_back_as_a_replica() {
    let all = Watched::start().await;
    let old = all.master();
    let mut load = load(&all, 1).await;
    is_replaced(&all, &mut load, "STOP").await;
    all.server(old).signal("CONT");
    // What is told from others by a command that is not replicated.
    let (begun, mut asked) = (Instant::now(), 0);
    while begun.elapsed() < A_WHILE || role(all.server(old)) != "slave" {
        assert!(begun.elapsed() < SWITCH, "it is not demoted");
        assert_eq!(load.row().await, ALL);
        let size = load.redis().wire().send(cmd("DBSIZE")).await;
        size.expect("the new one serves");
        asked += 1;
    }
    let here = [old, all.master()].map(|port| ran(all.server(port), "dbsize"));
    assert_eq!(here, [0, asked]);
    settles(&all, &mut load, Kept::Exactly).await;
}

/// Both replicas are waited for: the one that is to follow has stopped listening to the master that still
/// serves, and only the other one says that it has a write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_is_asked_for() {
    let all = Watched::start().await;
    let mut load = load(&all, 2).await;
    let (old, redis) = (all.master(), load.redis().clone());
    let in_line = load.puts_in_line().await;
    load.during(async {
        sleep(SOON).await;
        all.sentinels[0].command(&["SENTINEL", "FAILOVER", "main"]);
        moves_on(&all, &redis, old, "asked for").await;
        // Until the old one follows too, too few do.
        all.settles().await;
    })
    .await;
    // Served, or refused in the moment between the two.
    let status = in_line.service().await;
    let served = [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE];
    assert!(served.contains(&status), "{status}");
    settles(&all, &mut load, Kept::ByReplicas).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_and_a_replica_are_killed_and_then_the_other_replica() {
    let all = Watched::start().await;
    let mut load = load(&all, 1).await;
    let epochs = load.redis().wire().epochs();
    let in_line = load.puts_in_line().await;
    let kill_sentinel = || all.sentinels[0].signal("KILL");
    let kill_replica = || all.servers[1].signal("KILL");
    for kill in [&kill_sentinel as &dyn Fn(), &kill_replica] {
        load.during(async {
            sleep(SOON).await;
            kill();
            sleep(A_WHILE).await;
        })
        .await;
        let refused: u64 = load.refused.iter().map(|(_, count)| count).sum();
        assert_eq!(refused, 0, "{:?}", load.refused);
    }
    assert_eq!(in_line.service().await, StatusCode::OK);
    settles(&all, &mut load, Kept::Exactly).await;

    // The last one that is waited for: jobs are not kept from anybody, and sessions are read.
    all.servers[2].signal("KILL");
    assert_eq!(load.row().await, "++-----+");
    let master = all.servers[0].port().to_string();
    let replica = ["--replicaof", "127.0.0.1", &master];
    let _replica = RedisServer::start_on(all.servers[2].port(), &replica);
    settles(&all, &mut load, Kept::Perhaps).await;
    assert_eq!(*epochs.borrow(), 1, "the connection is the same");
}
