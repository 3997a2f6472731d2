//! Many tasks that want one key, in one process and in two.

use std::time::Duration;

use super::fleet::{Case, mean_hold, span, start};
use super::lock::Way;
use super::worker::Hold;
use crate::Error;
use crate::measure::{Series, header, row};
use crate::redis_server::Server;

const REPETITIONS: usize = 3;

pub fn run(server: &Server, slice: Duration) -> Result<(), Error> {
    let (none, some) = (Duration::ZERO, Duration::from_millis(1));
    println!(
        "\n## Locks, all tasks want one key, {REPETITIONS} repetitions of {slice:?}, interleaved\n\n\
         Medians. A hold of 1 ms is a timer's, and longer in truth: the mean is shown, and the rates are\n\
         told in parts of what it allows. An owner change is a hold by another task than the one before.\n"
    );
    header(&[
        "hold",
        "processes × tasks",
        "lock",
        "owner changes/s",
        "÷ (1 / mean hold)",
        "÷ raw, one task alone",
        "÷ rslock",
        "mean hold, ms",
        "wait, ms: median; 99 %; longest",
        "99 % ÷ (waiters × hold)",
        "holds a task, least ÷ most",
        "holds a process, least ÷ most",
        "commands a hold, those inside scripts included",
        "overlaps",
    ]);
    let waits = Way::WAITING;
    for case in [
        Case::new(1, 2, some),
        Case::new(1, 16, some),
        Case::new(1, 64, some),
        Case::new(2, 2, some),
        Case::new(2, 16, some),
        Case::new(2, 64, some),
        Case::new(2, 2, none),
        Case::new(2, 16, none),
        Case::new(2, 64, none),
    ] {
        let mut tables: Vec<Table> = waits.iter().map(|_| Table::default()).collect();
        let mut alone = Series::default();
        for _ in 0..REPETITIONS {
            if case.hold.is_zero() {
                let holds = start(server, Way::Raw, Case::new(1, 1, none), slice, false)?;
                alone.push(holds.len() as f64 / span(&holds));
            }
            for (way, table) in waits.into_iter().zip(&mut tables) {
                table.add(server, way, case, slice)?;
            }
        }
        for (way, table) in waits.iter().zip(&tables) {
            table.print(*way, case, &alone, &tables[waits.len() - 1].changes);
        }
    }
    Ok(())
}

/// What the repetitions of one case gave.
#[derive(Default)]
struct Table {
    changes: Series,
    of_possible: Series,
    hold: Series,
    waits: [Series; 3],
    tail: Series,
    fair_tasks: Series,
    fair_processes: Series,
    commands: String,
    overlaps: usize,
}

impl Table {
    fn add(&mut self, server: &Server, way: Way, case: Case, slice: Duration) -> Result<(), Error> {
        let before = server.usage()?;
        let holds = start(server, way, case, slice, false)?;
        self.commands = server.usage()?.commands_since(&before, holds.len() as u64);

        let owners = holds.windows(2).filter(|two| two[0].task != two[1].task);
        let owners = owners.count() as f64;
        self.overlaps += holds
            .windows(2)
            .filter(|two| two[1].held < two[0].let_go)
            .count();
        let (rate, hold) = (owners / span(&holds), mean_hold(&holds));
        self.changes.push(rate);
        self.of_possible.push(rate * hold / 1e3);
        self.hold.push(hold);
        let mut waits: Vec<_> = holds.iter().map(|hold| hold.held - hold.asked).collect();
        waits.sort_unstable();
        for (series, part) in self.waits.iter_mut().zip([0.5, 0.99, 1.0]) {
            let at = ((waits.len() - 1) as f64 * part) as usize;
            series.push(waits[at] as f64 / 1e6);
        }
        let tail = waits[(waits.len() - 1) * 99 / 100] as f64 / 1e6;
        self.tail
            .push(tail / ((case.processes * case.tasks) as f64 * hold));
        self.fair_tasks
            .push(fairness(&holds, case.processes * case.tasks, |task| task));
        self.fair_processes
            .push(fairness(&holds, case.processes, |task| task / case.tasks));
        Ok(())
    }

    /// Beside what one task alone does by hand, where nothing else bounds the rate, and the last way.
    fn print(&self, way: Way, case: Case, alone: &Series, last: &Series) {
        let timed = !case.hold.is_zero();
        let if_timed = |text: String| if timed { text } else { "–".to_owned() };
        row(&[
            format!("{:?}", case.hold),
            format!("{} × {}", case.processes, case.tasks),
            way.name().to_owned(),
            format!("{:.0} ({})", self.changes.median(), self.changes.spread()),
            if_timed(format!("{:.3}", self.of_possible.median())),
            if timed {
                "–".to_owned()
            } else {
                self.changes.over(alone).to_string()
            },
            self.changes.over(last).to_string(),
            format!("{:.3}", self.hold.median()),
            self.waits
                .each_ref()
                .map(|wait| format!("{:.2}", wait.median()))
                .join("; "),
            if_timed(format!("{:.2}", self.tail.median())),
            format!("{:.2}", self.fair_tasks.median()),
            format!("{:.2}", self.fair_processes.median()),
            self.commands.clone(),
            self.overlaps.to_string(),
        ]);
    }
}

/// The least over the most.
fn fairness(holds: &[Hold], parts: usize, part: impl Fn(usize) -> usize) -> f64 {
    let mut counts = vec![0u64; parts];
    for hold in holds {
        counts[part(hold.task)] += 1;
    }
    let most = counts.iter().max().copied().unwrap_or(0).max(1);
    counts.iter().min().copied().unwrap_or(0) as f64 / most as f64
}
