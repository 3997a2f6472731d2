//! Fail-overs under load: a new master may have forgotten who holds a key, and the fenced resource
//! still takes nobody's word after that of a later one.

use super::clock::{now_us, stalled};
use super::judge::{Whom, judge};
use super::processes::Process;
use super::resource::Resource;
use super::worker::Errand;
use super::{errand, seeds};
use crate::support::eventually::eventually;
use crate::support::redis_sentinel::Watched;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_fail_overs_no_write_of_the_past_is_accepted() {
    let all = Watched::start().await;
    let (seed, resource) = (seeds(1)[0], Resource::start(true));
    let watch = resource.clone();
    let watched = tokio::spawn(async move {
        loop {
            watch.disturbed(Whom::Everybody, stalled().await);
        }
    });
    let start = |process| {
        Process::start(&Errand {
            process,
            seed: seed.wrapping_add(process.into()),
            redis: all.url(),
            tasks: 8,
            lease_ms: 1_000,
            ..errand(seed, &resource)
        })
    };
    let numbers = [0, 1, 2];
    let processes = numbers.map(start);
    for kill in [false, true] {
        let before = resource.count();
        eventually("it is used", async || resource.count() > before + 200).await;
        let (old, from) = (all.master(), now_us());
        if kill {
            all.server(old).signal("KILL");
        } else {
            all.sentinels[0].command(&["SENTINEL", "FAILOVER", "main"]);
        }
        eventually("there is another master", async || all.master() != old).await;
        let before = resource.count();
        eventually("it is used again", async || resource.count() > before + 200).await;
        resource.disturbed(Whom::Data, from);
        resource.disturbed(Whom::Everybody, from);
        // Who was killed does not come back: so it comes last.
        if !kill {
            all.settles().await;
        }
    }
    resource.stop();
    let reports = || numbers.iter().filter_map(|number| resource.report(*number));
    eventually("every process ends and leaves no task behind", async || {
        reports().count() == numbers.len()
    })
    .await;
    drop(processes);
    watched.abort();
    let (uses, disturbances) = resource.history();
    let verdict = judge(&uses, &disturbances);
    let reports: Vec<_> = reports().collect();
    println!("seed {seed}: {verdict:?} {reports:?}");
    assert!(verdict.violations.is_empty(), "seed {seed}: {verdict:#?}");
    assert!(verdict.accepted > 800, "seed {seed}: {verdict:?}");
}
