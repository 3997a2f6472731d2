//! What the figures are to be.

use Candidate::{Handoff, Raw, TowerSessions, TowerSessionsReadme};
use Workload::{BlindWrite, Increment, Login, Read, ReadThenWrite, Untouched};

use super::figures::{Figures, Limit};
use super::workload::Workload;
use crate::candidates::Candidate;
use crate::measure::{header, row};

/// Requests a second: ours under a workload, a peer's under its own, at least.
const RATES: [(Workload, f64, Candidate, Workload); 10] = [
    (Read, 1.05, Raw, Read),
    (Read, 1.35, TowerSessions, Read),
    (Read, 1.6, TowerSessionsReadme, Read),
    (ReadThenWrite, 0.95, Raw, ReadThenWrite),
    (ReadThenWrite, 1.45, TowerSessions, ReadThenWrite),
    (ReadThenWrite, 1.7, TowerSessionsReadme, ReadThenWrite),
    (BlindWrite, 1.3, Raw, ReadThenWrite),
    (BlindWrite, 2.0, TowerSessions, BlindWrite),
    (Increment, 1.3, Raw, ReadThenWrite),
    (Increment, 2.0, TowerSessions, Increment),
];

/// Redis's CPU for one of our reads by raw's, at most.
const REDIS_CPU: f64 = 0.65;

/// Commands of ours for one request, exactly.
const COMMANDS: [(Workload, f64); 6] = [
    (Untouched, 0.0),
    (Read, 1.0),
    (ReadThenWrite, 2.0),
    (BlindWrite, 1.0),
    (Increment, 1.0),
    (Login, 1.0),
];

pub fn print<'a>(figures: impl Fn(Candidate, Workload) -> &'a Figures) {
    println!("\n### Goals of tower-handoff (lowest and highest round in brackets)\n");
    header(&["goal", "figure", "wanted", ""]);
    let line = |goal: String, figure: String, wanted: String, met: Option<bool>| {
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not judged: the machine was busy",
        };
        row(&[goal, figure, wanted, verdict.to_owned()]);
    };
    for (workload, wanted, peer, of_peer) in RATES {
        let (ours, theirs) = (figures(Handoff, workload), figures(peer, of_peer));
        let ratio = ours.rate.over(&theirs.rate);
        let goal = format!("{} ÷ {}'s {}", workload.name(), peer.name(), of_peer.name());
        let fair = [ours, theirs]
            .iter()
            .all(|one| one.limit() != Limit::Nothing);
        let met = fair.then_some(ratio.of_medians >= wanted);
        line(goal, ratio.to_string(), format!("≥ {wanted}"), met);
    }
    let ratio = figures(Handoff, Read)
        .redis_cpu
        .over(&figures(Raw, Read).redis_cpu);
    let goal = "Redis CPU of a read ÷ raw's";
    let met = ratio.of_medians <= REDIS_CPU;
    line(
        goal.to_owned(),
        ratio.to_string(),
        format!("≤ {REDIS_CPU}"),
        Some(met),
    );
    for (workload, wanted) in COMMANDS {
        let sent = figures(Handoff, workload).commands.sent_each();
        let goal = format!("commands of {}", workload.name());
        line(
            goal,
            format!("{sent:.2}"),
            format!("= {wanted}"),
            Some(sent == wanted),
        );
    }
}
