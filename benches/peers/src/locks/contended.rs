//! Many tasks that want one key, in one process and in two.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::lock::Way;
use super::worker::{Hold, Plan, now};
use crate::Error;
use crate::cores::{self, Core};
use crate::measure::{Series, header, row};
use crate::redis_server::Server;

const REPETITIONS: usize = 3;

/// How long processes get to start and to connect.
const START: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy)]
struct Case {
    processes: usize,
    tasks: usize,
    hold: Duration,
}

pub fn run(server: &Server, slice: Duration) -> Result<(), Error> {
    let (none, some) = (Duration::ZERO, Duration::from_millis(1));
    let case = |processes, tasks, hold| Case {
        processes,
        tasks,
        hold,
    };
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
        "mean hold, ms",
        "wait, ms: median; 99 %; longest",
        "99 % ÷ (waiters × hold)",
        "holds a task, least ÷ most",
        "holds a process, least ÷ most",
        "commands a hold, those inside scripts included",
        "overlaps",
    ]);
    let ways = [Way::Handoff, Way::HandoffApart, Way::Rslock];
    for case in [
        case(1, 2, some),
        case(1, 16, some),
        case(1, 64, some),
        case(2, 16, some),
        case(2, 16, none),
    ] {
        let mut series: Vec<Table> = ways.iter().map(|_| Table::default()).collect();
        for _ in 0..REPETITIONS {
            for (way, table) in ways.into_iter().zip(&mut series) {
                table.add(server, way, case, slice)?;
            }
        }
        for (way, table) in ways.iter().zip(&series) {
            table.print(*way, case);
        }
    }
    println!("\n### All ask at once, until the last has let go\n");
    header(&[
        "hold",
        "tasks",
        "lock",
        "ms (median)",
        "÷ (tasks × mean hold)",
        "rounds",
    ]);
    for case in [case(1, 16, some), case(1, 64, some), case(1, 16, none)] {
        for way in ways {
            let holds = start(server, way, case, slice, true)?;
            let mut drains = Series::default();
            for round in holds.chunks_exact(case.tasks) {
                let asked = round
                    .iter()
                    .map(|hold| hold.asked)
                    .min()
                    .unwrap_or_default();
                let over = round
                    .iter()
                    .map(|hold| hold.let_go)
                    .max()
                    .unwrap_or_default();
                drains.push((over - asked) as f64 / 1e6);
            }
            let hold = mean_hold(&holds);
            row(&[
                format!("{:?}", case.hold),
                case.tasks.to_string(),
                way.name().to_owned(),
                format!("{:.2}", drains.median()),
                if case.hold.is_zero() {
                    "–".to_owned()
                } else {
                    format!("{:.3}", drains.median() / (case.tasks as f64 * hold))
                },
                (holds.len() / case.tasks).to_string(),
            ]);
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
        let span = holds.first().zip(holds.last());
        let span = span.map_or(1.0, |(first, last)| (last.held - first.held) as f64 / 1e9);
        let hold = mean_hold(&holds);
        self.changes.push(owners / span);
        self.of_possible.push(owners / span * hold / 1e3);
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

    fn print(&self, way: Way, case: Case) {
        let timed = !case.hold.is_zero();
        let if_timed = |text: String| if timed { text } else { "–".to_owned() };
        row(&[
            format!("{:?}", case.hold),
            format!("{} × {}", case.processes, case.tasks),
            way.name().to_owned(),
            format!("{:.0} ({})", self.changes.median(), self.changes.spread()),
            if_timed(format!("{:.3}", self.of_possible.median())),
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

/// Milliseconds.
fn mean_hold(holds: &[Hold]) -> f64 {
    let sum: u64 = holds.iter().map(|hold| hold.let_go - hold.held).sum();
    sum as f64 / 1e6 / holds.len().max(1) as f64
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

/// Runs the case in processes of its own; their holds, in order. Tasks of the second process come
/// after those of the first.
fn start(
    server: &Server,
    way: Way,
    case: Case,
    slice: Duration,
    bursts: bool,
) -> Result<Vec<Hold>, Error> {
    let from = now() + START;
    let plan = Plan {
        way,
        tasks: case.tasks,
        hold: case.hold,
        from,
        until: from + slice,
        bursts,
    };
    let program = std::env::current_exe()?;
    let mut workers = Vec::new();
    for _ in 0..case.processes {
        let mut command = Command::new(&program);
        command
            .args(plan.arguments(server.url()))
            .stdout(Stdio::piped());
        workers.push(cores::on(Core::Measured, || command.spawn())?);
    }
    let mut holds = Vec::new();
    for (process, worker) in workers.into_iter().enumerate() {
        let output = worker.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("a worker of {} ended with {}", way.name(), output.status).into());
        }
        for line in String::from_utf8(output.stdout)?.lines() {
            let words: Result<Vec<u64>, _> = line.split(' ').map(str::parse).collect();
            let [asked, held, let_go, task] = words?[..] else {
                return Err(format!("a worker wrote {line:?}").into());
            };
            let task = process * case.tasks + task as usize;
            holds.push(Hold {
                asked,
                held,
                let_go,
                task,
            });
        }
    }
    if holds.len() < 2 {
        return Err(format!("{} held the lock {} times", way.name(), holds.len()).into());
    }
    holds.sort_unstable_by_key(|hold| hold.held);
    Ok(holds)
}
