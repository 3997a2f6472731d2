//! Histories: processes that die, stand still and lose their connections, under a lock each of
//! whose uses a fenced resource records, so that they can be judged.
//!
//! A worker is this binary again, with [`worker`]'s test and an errand: real processes, the real
//! layer, a Redis of their own behind a [bad line](crate::support::bad_line). What the judge holds
//! them to is in [`judge`]: most of it is exact, whatever stands still, and needs no clock but the
//! one that all processes of a machine share.
//!
//! `TOWER_HANDOFF_SEED` repeats the choices of one history; the printed line names its seed.

use std::collections::BTreeMap;

use super::rig::is_free;
use crate::support::eventually::eventually;
use crate::support::random::Random;
use clock::{now_us, stalled};
use faults::{Fault, Stage};
use judge::{Verdict, Whom, judge};
use resource::Resource;
use worker::Errand;

mod clock;
mod faults;
mod judge;
mod processes;
mod resource;
mod worker;

const PROCESSES: usize = 4;
const TASKS: u32 = 16;
const KEYS: u64 = 8;

/// How many histories, and how often each fault in each of them.
fn length() -> (u64, usize) {
    match std::env::var_os("TOWER_HANDOFF_LONG") {
        Some(_) => (8, 40),
        None => (1, 6),
    }
}

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
    }
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
async fn close(mut stage: Stage, resource: &Resource) -> (Verdict, Vec<String>) {
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
    (judge(&uses, &disturbances), reports().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_faults_nobody_is_overtaken_refused_or_lost() {
    let resource = Resource::start(true);
    let seed = seeds(1)[0];
    let stage = Stage::start(PROCESSES, errand(seed, &resource), &resource).await;
    eventually("the resource was used hundreds of times", async || {
        resource.count() > 500
    })
    .await;
    let (verdict, reports) = close(stage, &resource).await;
    println!("seed {seed}: {verdict:?} {reports:?}");
    assert!(
        verdict.violations.is_empty(),
        "seed {seed}: {:#?}",
        verdict.violations
    );
    assert_eq!(
        (verdict.refused, verdict.lost),
        (0, 0),
        "seed {seed}: {verdict:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_one_holds_at_a_time_and_nobody_waits_for_ever() {
    let (many, rounds) = length();
    for seed in seeds(many) {
        let deck = deck(seed, rounds);
        let resource = Resource::start(true);
        let watch = resource.clone();
        let watched = tokio::spawn(async move {
            loop {
                watch.disturbed(Whom::Everybody, stalled().await);
            }
        });
        let lease_ms = 500 + Random::new(seed).below(500);
        let errand = Errand {
            lease_ms,
            ..errand(seed, &resource)
        };
        let mut stage = Stage::start(PROCESSES, errand, &resource).await;
        println!("seed {seed}: leases of {lease_ms} ms");
        let counts = deck.iter().fold(BTreeMap::new(), |mut counts, fault| {
            *counts.entry(*fault).or_insert(0) += 1;
            counts
        });
        stage.suffer(&deck).await;
        let (verdict, reports) = close(stage, &resource).await;
        watched.abort();
        println!("seed {seed}: {counts:?} {verdict:?} {reports:?}");
        assert!(
            verdict.violations.is_empty(),
            "seed {seed}: {:#?}",
            verdict.violations
        );
        assert!(verdict.accepted > 300, "seed {seed}: {verdict:?}");
    }
}

/// A judge that finds nothing is worth nothing: here is something to be found.
async fn found(checks: bool) -> Vec<String> {
    let resource = Resource::start(checks);
    let seed = seeds(1)[0];
    let errand = Errand {
        lease_ms: 500,
        keys: 1,
        careless: true,
        ..errand(seed, &resource)
    };
    let mut stage = Stage::start(2, errand, &resource).await;
    for _ in 0..20 {
        stage.suffer(&[Fault::StopHolder; 4]).await;
        let (uses, disturbances) = resource.history();
        let violations = judge(&uses, &disturbances).violations;
        if !violations.is_empty() {
            return violations;
        }
    }
    Vec::new()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_does_not_look_at_its_lease_is_found_out() {
    let found = found(true).await;
    assert!(
        found
            .iter()
            .any(|said| said.starts_with("two hold the key")),
        "{found:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_that_does_not_look_at_fences_is_found_out() {
    let found = found(false).await;
    assert!(
        found
            .iter()
            .any(|said| said.starts_with("a write of the past")),
        "{found:#?}"
    );
}
