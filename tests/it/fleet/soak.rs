//! Load for minutes or hours while one thing after the other fails: nothing that was answered is
//! lost, nothing is left over.
//!
//! `TOWER_HANDOFF_SOAK_MINUTES` says for how long, `TOWER_HANDOFF_SEED` repeats the order and the
//! lengths of the troubles; `scripts/test soak` runs it.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::time::Instant;

use super::instances::Fleet;
use super::load::{LOCKS, Load, Seen};
use super::troubles::{Redis, Trouble, befall};
use crate::support::balancer::{Balancer, Kind, LOOKS_AWAY};
use crate::support::eventually::eventually;
use crate::support::random::Random;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is {value:?}; accepted: a whole number")))
}

fn length() -> Duration {
    Duration::from_secs(60 * number("TOWER_HANDOFF_SOAK_MINUTES").unwrap_or(2))
}

fn seed() -> u64 {
    number("TOWER_HANDOFF_SEED").unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        u64::try_from(since.expect("after 1970").as_millis()).expect("this millennium")
    })
}

/// What an instance, or Redis, has open when nobody asks for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rest {
    /// Tasks alive in each instance.
    tasks: Vec<u64>,
    /// Connections of the instances to Redis.
    connections: usize,
}

impl Rest {
    async fn of(redis: &Redis, fleet: &Fleet) -> Self {
        let mut tasks = Vec::new();
        for index in 0..fleet.addrs().len() {
            let status = status(fleet, index).await;
            tasks.push(status["alive_tasks"].as_u64().expect("a number"));
        }
        let list = redis.server().command(&["CLIENT", "LIST"]);
        let list: String = redis::from_redis_value(list).expect("text");
        // One is the one that asks.
        let connections = list.lines().filter(|line| line.contains("cmd=")).count() - 1;
        Self { tasks, connections }
    }

    fn is_no_more_than(&self, other: &Self) -> bool {
        let mut pairs = self.tasks.iter().zip(&other.tasks);
        self.connections <= other.connections && pairs.all(|(mine, theirs)| mine <= theirs)
    }
}

async fn status(fleet: &Fleet, index: usize) -> Value {
    let mut client = fleet.instance(index).client();
    client.get("/status").await.json()
}

/// Nobody asks for anything any more, and nothing goes on.
async fn rest(redis: &Redis, fleet: &Fleet) -> Rest {
    for index in 0..fleet.addrs().len() {
        eventually("nothing is in flight, nothing is held", async || {
            let status = status(fleet, index).await;
            let is_empty = |name: &str| status[name].as_array().is_some_and(Vec::is_empty);
            status["in_flight"] == 0 && status["tasks"] == 0 && is_empty("locks")
        })
        .await;
    }
    let mut client = fleet.instance(SURVIVOR).client();
    for lock in 0..LOCKS {
        let path = format!("/lock/resource-{lock}?hold_ms=1");
        eventually("every lock is to be had", async || {
            client.send("POST", &path, None).await.status == 200
        })
        .await;
    }
    eventually("no lock is held", async || {
        redis.server().locks_in_force("testbed").is_empty()
    })
    .await;
    // Until the balancer has closed what it keeps open.
    tokio::time::sleep(3 * LOOKS_AWAY).await;
    Rest::of(redis, fleet).await
}

/// Resident memory in KiB.
fn memory(fleet: &Fleet, index: usize) -> u64 {
    let pid = fleet.instance(index).pid().to_string();
    let output = Command::new("ps").args(["-o", "rss=", "-p", &pid]).output();
    let output = output.expect("ps runs").stdout;
    let text = String::from_utf8_lossy(&output);
    text.trim().parse().expect("a number of KiB")
}

/// The instance that is never restarted.
const SURVIVOR: usize = 2;
/// Outages are to be noticed.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(500);

/// Much less than what one leak a request would come to, and more than what the allocator keeps of a
/// bad moment.
const GROWTH_KIB: u64 = 8 * 1024;

async fn is_served_again(load: &Load) {
    let before = load.served();
    eventually("requests succeed again", async || {
        load.served() > before + 500
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_nothing_is_lost_and_nothing_is_left_over() {
    let (length, seed) = (length(), seed());
    println!("seed {seed}, {length:?}: TOWER_HANDOFF_SEED repeats it");
    let mut random = Random::new(seed);
    let mut redis = Redis::start().await;
    let mut fleet = Fleet::start("axum", redis.url(), COMMAND_TIMEOUT).await;
    let balancer = Balancer::start(Kind::Nginx, fleet.addrs()).await;

    // Whatever is made at the first use is there.
    let load = Load::start(balancer.addr());
    is_served_again(&load).await;
    let seen = load.stop().await;
    // Redis is well, and a machine that is busy elsewhere may be late all the same.
    println!("while nothing failed: {:?}", seen.failures);
    assert_eq!(seen.wrong, [""; 0]);
    let before = rest(&redis, &fleet).await;

    let load = Load::start(balancer.addr());
    is_served_again(&load).await;
    let begun = Instant::now();
    let mut logs = Vec::new();
    let mut troubles = BTreeMap::<Trouble, (u32, u64)>::new();
    let mut grown = Vec::new();
    // Each of them once in each round, so that a short run misses none.
    while grown.is_empty() || begun.elapsed() < length {
        for trouble in Trouble::deck(&mut random) {
            if begun.elapsed() >= length && !grown.is_empty() {
                break;
            }
            let failed = load.failed();
            befall(trouble, &mut redis, &mut fleet, &mut random, &mut logs).await;
            is_served_again(&load).await;
            redis.forgets_lost_connections();
            let failed = load.failed() - failed;
            assert!(failed > 0 || !trouble.is_felt(), "{trouble:?} harms nobody");
            let (times, harm) = troubles.entry(trouble).or_default();
            (*times, *harm) = (*times + 1, *harm + failed);
            tokio::time::sleep(random.ms(100..2_000)).await;
        }
        grown.push(memory(&fleet, SURVIVOR));
    }
    let mut seen = load.stop().await;
    println!(
        "times, failed requests: {troubles:?}\n{} requests, {} increments",
        seen.requests, seen.counted
    );
    println!("KiB of the instance that lived: {grown:?}");
    judge(&mut seen);
    assert!(
        grown[grown.len() - 1] <= grown[0] + GROWTH_KIB,
        "memory grows: {grown:?} KiB"
    );

    // What is left of a lease's care ends when it would have been due; what leaks stays.
    let mut after = rest(&redis, &fleet).await;
    for _ in 0..20 {
        if after.is_no_more_than(&before) {
            break;
        }
        tokio::time::sleep(LOOKS_AWAY).await;
        after = Rest::of(&redis, &fleet).await;
    }
    assert!(
        after.is_no_more_than(&before),
        "{after:?}, before: {before:?}"
    );
    for index in 0..fleet.addrs().len() {
        let exit = fleet.end(index, "TERM").await;
        assert_eq!(exit.code, 0, "{exit:?}");
        logs.push(exit.stderr);
    }
    for log in &logs {
        assert!(!log.contains("panicked"), "{log}");
    }
}

fn judge(seen: &mut Seen) {
    let mut kinds = BTreeMap::<_, u64>::new();
    for ((asked, status), count) in &seen.failed {
        let route = asked.split(['-', '?']).next().unwrap_or_default();
        *kinds.entry(format!("{route}: {status}")).or_default() += count;
    }
    println!("failures: {kinds:#?}");
    assert_eq!(seen.wrong, [""; 0], "values that had been answered");
    let range = seen.counted..=seen.counted + seen.unknown;
    assert!(range.contains(&seen.total), "{} of {range:?}", seen.total);
    assert_eq!(seen.uses.overlaps(), [""; 0]);
    for (asked, status) in seen.failed.keys() {
        // 0: no answer. 502 is the balancer's, for an instance that was killed. 500: a lock that was
        // lost while its request ran.
        let expected: &[u16] = if asked.starts_with("POST /lock/") {
            &[0, 500, 502, 503]
        } else {
            &[0, 502, 503]
        };
        assert!(expected.contains(status), "{asked}: {status}");
    }
}
