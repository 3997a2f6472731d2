//! One task, a key that nobody else wants: acquire and release, again and again.

use std::time::{Duration, Instant};

use super::lock::{Lock, Way};
use crate::Error;
use crate::measure::{Series, header, row};
use crate::redis_server::Server;

const REPETITIONS: usize = 15;
/// Short and many: what else the machine does then falls on all of one repetition alike.
const PARTS: u32 = 4;

pub async fn run(server: &Server, slice: Duration) -> Result<(), Error> {
    let ways = [
        Way::Raw,
        Way::Handoff,
        Way::Rslock,
        Way::RawSupervised,
        Way::LeastScript,
    ];
    let mut locks = Vec::new();
    for way in ways {
        locks.push(Lock::open(way, server.url()).await?);
    }
    let slice = slice / PARTS;
    println!("\n## Locks, uncontended, {REPETITIONS} repetitions of {slice:?}, interleaved\n");
    header(&[
        "lock",
        "cycles/s (median)",
        "÷ raw",
        "÷ rslock",
        "Redis CPU a cycle, µs",
        "commands a cycle, those inside scripts included",
    ]);
    let mut rates = vec![Series::default(); locks.len()];
    let mut cpu = vec![Series::default(); locks.len()];
    let mut commands = vec![String::new(); locks.len()];
    for _ in 0..REPETITIONS {
        for (at, (way, lock)) in ways.iter().zip(&locks).enumerate() {
            let before = server.usage()?;
            let (start, mut cycles) = (Instant::now(), 0u64);
            while start.elapsed() < slice {
                lock.cycle(way.name(), async || {}).await?;
                cycles += 1;
            }
            rates[at].push(cycles as f64 / start.elapsed().as_secs_f64());
            let after = server.usage()?;
            cpu[at].push((after.cpu - before.cpu) * 1e6 / cycles as f64);
            commands[at] = after.commands_since(&before, cycles);
        }
    }
    for (at, way) in ways.iter().enumerate() {
        row(&[
            way.name().to_owned(),
            format!("{:.0} ({})", rates[at].median(), rates[at].spread()),
            rates[at].over(&rates[0]).to_string(),
            rates[at].over(&rates[2]).to_string(),
            format!("{:.1}", cpu[at].median()),
            commands[at].clone(),
        ]);
    }
    Ok(())
}
