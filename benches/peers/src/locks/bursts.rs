//! Tasks of one process, or of two, that ask all at once, round after round.

use std::time::Duration;

use super::fleet::{Case, mean_hold, start};
use super::lock::Way;
use crate::Error;
use crate::measure::{Series, header, row};
use crate::redis_server::Server;

pub fn run(server: &Server, slice: Duration) -> Result<(), Error> {
    println!("\n## Locks, all ask at once, until the last has let go\n");
    header(&[
        "hold",
        "processes × tasks",
        "lock",
        "ms (median)",
        "÷ (all tasks × mean hold)",
        "rounds",
    ]);
    for case in [
        Case::new(1, 16, Duration::from_millis(1)),
        Case::new(1, 64, Duration::from_millis(1)),
        Case::new(2, 16, Duration::from_millis(1)),
        Case::new(2, 64, Duration::from_millis(1)),
        Case::new(1, 16, Duration::ZERO),
        Case::new(2, 16, Duration::ZERO),
    ] {
        let all = case.processes * case.tasks;
        for way in Way::WAITING {
            let holds = start(server, way, case, slice, true)?;
            let mut drains = Series::default();
            for round in holds.chunks_exact(all) {
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
                format!("{} × {}", case.processes, case.tasks),
                way.name().to_owned(),
                format!("{:.2}", drains.median()),
                if case.hold.is_zero() {
                    "–".to_owned()
                } else {
                    format!("{:.3}", drains.median() / (all as f64 * hold))
                },
                (holds.len() / all).to_string(),
            ]);
        }
    }
    Ok(())
}
