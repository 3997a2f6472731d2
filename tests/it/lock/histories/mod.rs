//! Histories: processes that die, stand still and lose their connections, under a lock each of
//! whose uses a fenced resource records, so that they can be judged.
//!
//! A worker is this binary again, with [`worker`]'s test and an errand: real processes, the real
//! layer, a Redis of their own behind a [bad line](crate::support::bad_line). What the judge holds
//! them to is in [`judge`], and who may overtake whom in [`fairness`]: most of it is exact, whatever
//! stands still, and needs no clock but the one that all processes of a machine share.
//!
//! `TOWER_HANDOFF_SEED` repeats the choices of one history; the printed line names its seed.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::rig::is_free;
use crate::support::eventually::eventually;
use crate::support::random::Random;
use clock::{now_us, redis_stalled, stalled};
use fairness::{Fairness, fairness, least_and_most};
use faults::{Fault, Stage};
use judge::{Verdict, Whom, judge};
use resource::Resource;
use worker::{Counts, Errand, WAIT_MS};

mod clock;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(feature = "sentinel")]
mod fail_over;
mod fairness;
mod faults;
mod found_out;
mod handler;
mod judge;
mod processes;
mod resource;
#[cfg(any(feature = "cluster", feature = "sentinel"))]
mod take_over;
mod worker;

const PROCESSES: usize = 4;
const TASKS: u32 = 16;
const KEYS: u64 = 8;

/// How many histories, and how often each fault in each of them.
fn length() -> (u64, usize) {
    match std::env::var_os("TOWER_HANDOFF_LONG") {
        Some(_) => (9, 40),
        None => (AT_ONCE as u64, 7),
    }
}

/// How many histories go on beside one another: each spends most of its time on what stands still.
const AT_ONCE: usize = 3;

fn seeds(many: u64) -> Vec<u64> {
    match std::env::var("TOWER_HANDOFF_SEED") {
        Ok(seed) => vec![seed.parse().expect("TOWER_HANDOFF_SEED is a number")],
        Err(_) => (0..many)
            .map(|number| now_us().wrapping_add(number))
            .collect(),
    }
}

fn errand(seed: u64, resource: &Resource) -> Errand {
    Errand {
        process: 0,
        seed,
        socket: resource.socket(),
        redis: String::new(),
        tasks: TASKS,
        keys: KEYS,
        lease_ms: 10_000,
        careless: false,
        brisk: false,
    }
}

/// Has the history know when its Redis stood still, or the way there.
fn watch_redis(stage: &Stage, resource: &Resource) -> JoinHandle<()> {
    let (port, resource) = (stage.redis().port(), resource.clone());
    tokio::spawn(async move {
        loop {
            resource.disturbed(Whom::Everybody, redis_stalled(port).await);
        }
    })
}

/// Has the history know when this process, which is the resource too, stood still.
fn watch_over(resource: &Resource) -> JoinHandle<()> {
    let resource = resource.clone();
    tokio::spawn(async move {
        loop {
            resource.disturbed(Whom::Everybody, stalled().await);
        }
    })
}

/// In any order; a process that stands still is what leases and fences are for, and comes more
/// often than the other faults, each of which comes as often as any other.
fn deck(seed: u64, rounds: usize) -> Vec<Fault> {
    let stops = [Fault::StopHolder, Fault::StopWaiter];
    let round = Fault::ALL.into_iter().chain(stops).chain(stops);
    let mut deck: Vec<_> = std::iter::repeat_n(round, rounds).flatten().collect();
    Random::new(!seed).shuffle(&mut deck);
    deck
}

/// What became of a history whose processes all came to a good end.
#[derive(Debug)]
struct Outcome {
    verdict: Verdict,
    fairness: Fairness,
    reports: Vec<Counts>,
}

impl Outcome {
    /// What none may show, whatever failed.
    fn has_nothing_forbidden(&self, seed: u64) {
        let Self {
            verdict, fairness, ..
        } = self;
        assert!(verdict.violations.is_empty(), "seed {seed}: {verdict:#?}");
        assert!(fairness.unfair.is_empty(), "seed {seed}: {fairness:#?}");
        let waited = self.reports.iter().all(|counts| counts.expired.is_empty());
        assert!(
            waited,
            "seed {seed}: a wait of {WAIT_MS} ms was over: {self:?}"
        );
    }
}

async fn close(mut stage: Stage, resource: &Resource) -> Outcome {
    let numbers: Vec<_> = stage
        .processes
        .iter()
        .map(|process| process.number)
        .collect();
    let over = now_us();
    let left = || resource.unserved(&numbers, TASKS, over);
    let served = async {
        eventually("everybody is served again", async || left().is_empty()).await;
    };
    served.await;
    resource.stop();
    let reports = || numbers.iter().filter_map(|number| resource.report(*number));
    eventually(
        "every process ends, and leaves no task and no lock behind",
        async || reports().count() == numbers.len(),
    )
    .await;
    for key in 0..KEYS {
        let key = format!("x-lock:{key}");
        let line = format!("app:l1:{{{key}}}:q");
        eventually("nobody holds a key or stands in a line", async || {
            let line: u64 =
                redis::from_redis_value(stage.redis().command(&["LLEN", &line])).unwrap();
            line == 0 && is_free(stage.redis(), &key)
        })
        .await;
    }
    stage.processes.clear();
    let (uses, disturbances) = resource.history();
    Outcome {
        verdict: judge(&uses, &disturbances),
        fairness: fairness(&uses, &disturbances),
        reports: reports().collect(),
    }
}

/// A history in which nothing fails, until `progress` has come to `enough`, each step in its time.
async fn undisturbed(
    errand: Errand,
    resource: Resource,
    progress: impl Fn() -> usize,
    enough: usize,
) -> Outcome {
    let seed = errand.seed;
    let watched = watch_over(&resource);
    let stage = Stage::start_calm(PROCESSES, errand, &resource).await;
    let redis = watch_redis(&stage, &resource);
    for quarter in 1..=4 {
        let enough = enough * quarter / 4;
        eventually("it goes on", async || progress() >= enough).await;
    }
    let outcome = close(stage, &resource).await;
    watched.abort();
    redis.abort();
    println!("seed {seed}: {outcome:?}");
    outcome.has_nothing_forbidden(seed);
    let Verdict { in_vain, .. } = &outcome.verdict;
    assert!(in_vain.is_empty(), "seed {seed}: {outcome:#?}");
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_faults_nobody_is_overtaken_refused_or_lost() {
    let resource = Resource::start(true);
    let (errand, used) = (errand(seeds(1)[0], &resource), resource.clone());
    undisturbed(errand, resource, || used.count(), 500).await;
}

/// All of them on one key, whose handlers are so quick that a turn can come to its sixteen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_faults_every_task_is_served_about_as_often() {
    let (seed, resource) = (seeds(1)[0], Resource::start(true));
    let errand = Errand {
        keys: 1,
        brisk: true,
        ..errand(seed, &resource)
    };
    let used = resource.clone();
    let served = || {
        let (uses, disturbances) = used.history();
        least_and_most(&uses, &disturbances, PROCESSES * TASKS as usize)
    };
    const ENOUGH: usize = 12;
    // On a machine that never leaves it alone for so long there is less to judge, after ten times as much.
    let all = PROCESSES * TASKS as usize * ENOUGH * 10;
    let least = || match served() {
        _ if used.count() > all => ENOUGH,
        served => served.map_or(0, |(least, _)| least),
    };
    let outcome = undisturbed(errand, resource, least, ENOUGH).await;
    let Some((least, most)) = served().filter(|(least, _)| *least >= ENOUGH) else {
        println!("seed {seed}: it was disturbed all the time: {outcome:?}");
        return;
    };
    println!("seed {seed}: served {least} to {most} times each");
    assert!(
        most <= 2 * least,
        "seed {seed}: served {least} to {most} times each"
    );
    assert!(outcome.fairness.rounds > 8, "seed {seed}: {outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_one_holds_at_a_time_and_nobody_waits_for_ever() {
    let (many, rounds) = length();
    for some in seeds(many).chunks(AT_ONCE) {
        join_all(some.iter().map(|seed| disturbed(*seed, rounds))).await;
    }
}

async fn disturbed(seed: u64, rounds: usize) {
    let deck = deck(seed, rounds);
    let resource = Resource::start(true);
    let watched = watch_over(&resource);
    let lease_ms = 500 + Random::new(seed).below(500);
    let errand = Errand {
        lease_ms,
        ..errand(seed, &resource)
    };
    let mut stage = Stage::start(PROCESSES, errand, &resource).await;
    let redis = watch_redis(&stage, &resource);
    println!("seed {seed}: leases of {lease_ms} ms");
    let counts = deck.iter().fold(BTreeMap::new(), |mut counts, fault| {
        *counts.entry(*fault).or_insert(0) += 1;
        counts
    });
    stage.suffer(&deck).await;
    let outcome = close(stage, &resource).await;
    watched.abort();
    redis.abort();
    println!("seed {seed}: {counts:?} {outcome:?}");
    outcome.has_nothing_forbidden(seed);
    assert!(outcome.verdict.accepted > 300, "seed {seed}: {outcome:?}");
}
