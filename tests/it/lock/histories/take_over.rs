//! Processes on a Redis of several nodes, one of which takes over from another and may have forgotten who
//! holds a key: the fenced resource still takes nobody's word after that of a later one.

use tokio::task::JoinHandle;

use super::judge::judge;
use super::processes::Process;
use super::resource::Resource;
use super::worker::Errand;
use super::{errand, seeds, watch_over};
use crate::support::eventually::eventually;

/// Three processes and their resource.
pub(super) struct TakeOver {
    pub(super) seed: u64,
    pub(super) resource: Resource,
    watched: JoinHandle<()>,
    processes: [Process; 3],
}

impl TakeOver {
    pub(super) fn start(redis: &str) -> Self {
        let (seed, resource) = (seeds(1)[0], Resource::start(true));
        let watched = watch_over(&resource);
        let processes = [0, 1, 2].map(|process: u32| {
            Process::start(&Errand {
                process,
                seed: seed.wrapping_add(process.into()),
                redis: redis.to_owned(),
                tasks: 8,
                lease_ms: 1_000,
                ..errand(seed, &resource)
            })
        });
        Self {
            seed,
            resource,
            watched,
            processes,
        }
    }

    /// Every process comes to a good end, and of their uses at least so many were accepted, none of them
    /// wrongly.
    pub(super) async fn ends(self, accepted: usize) {
        let Self { seed, resource, .. } = self;
        resource.stop();
        let numbers = self.processes.each_ref().map(|process| process.number);
        let reports = || numbers.iter().filter_map(|number| resource.report(*number));
        eventually("every process ends and leaves no task behind", async || {
            reports().count() == numbers.len()
        })
        .await;
        drop(self.processes);
        self.watched.abort();
        let (uses, disturbances) = resource.history();
        let verdict = judge(&uses, &disturbances);
        let reports: Vec<_> = reports().collect();
        println!("seed {seed}: {verdict:?} {reports:?}");
        assert!(verdict.violations.is_empty(), "seed {seed}: {verdict:#?}");
        assert!(verdict.accepted > accepted, "seed {seed}: {verdict:?}");
        resource.clean_up();
    }
}
