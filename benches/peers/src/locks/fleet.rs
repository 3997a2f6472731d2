//! Processes whose tasks all want one key.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::lock::Way;
use super::worker::{Hold, Plan, READY, now};
use crate::Error;
use crate::cores::{self, Core};
use crate::redis_server::Server;

/// How long processes get to start and to connect.
const START: Duration = Duration::from_millis(400);

#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub processes: usize,
    pub tasks: usize,
    pub hold: Duration,
}

impl Case {
    pub fn new(processes: usize, tasks: usize, hold: Duration) -> Self {
        Self {
            processes,
            tasks,
            hold,
        }
    }
}

/// Runs the case in processes of its own; their holds, in order. Tasks of the second process come
/// after those of the first.
pub fn start(
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
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        workers.push(Worker::of(cores::on(Core::Measured, || command.spawn())?)?);
    }
    if bursts {
        hold_rounds(&mut workers, plan.until)?;
    }
    let mut holds = Vec::new();
    for (process, worker) in workers.into_iter().enumerate() {
        let written = worker.end(way)?;
        for line in written.lines() {
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

/// Lets all processes begin a round together, as soon as the last has ended the one before.
fn hold_rounds(workers: &mut [Worker], until: Duration) -> Result<(), Error> {
    loop {
        for worker in workers.iter_mut() {
            let mut line = String::new();
            worker.says.read_line(&mut line)?;
            if line.trim() != READY {
                return Err(format!("a worker wrote {line:?} for {READY:?}").into());
            }
        }
        if now() >= until {
            return Ok(());
        }
        for worker in workers.iter_mut() {
            worker.hears.write_all(b"\n")?;
        }
    }
}

struct Worker {
    child: Child,
    hears: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Worker {
    fn of(mut child: Child) -> Result<Self, Error> {
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (hears, says) = pipes.ok_or("a worker without pipes")?;
        let says = BufReader::new(says);
        Ok(Self { child, hears, says })
    }

    /// Tells it that no round is left, and reads its holds.
    fn end(self, way: Way) -> Result<String, Error> {
        let Self {
            mut child,
            hears,
            mut says,
        } = self;
        drop(hears);
        let mut written = String::new();
        says.read_to_string(&mut written)?;
        let status = child.wait()?;
        if !status.success() {
            return Err(format!("a worker of {} ended with {status}", way.name()).into());
        }
        Ok(written)
    }
}

/// Milliseconds.
pub fn mean_hold(holds: &[Hold]) -> f64 {
    let sum: u64 = holds.iter().map(|hold| hold.let_go - hold.held).sum();
    sum as f64 / 1e6 / holds.len().max(1) as f64
}

/// Seconds from the first hold to the last.
pub fn span(holds: &[Hold]) -> f64 {
    let ends = holds.first().zip(holds.last());
    ends.map_or(1.0, |(first, last)| (last.held - first.held) as f64 / 1e9)
}
