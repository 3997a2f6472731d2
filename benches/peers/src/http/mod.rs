//! Sessions over HTTP: each candidate a server process of its own, asked over loopback.

mod caller;
mod check;
mod commands;
mod figures;
mod goals;
mod load;
mod message;
mod process;
mod report;
pub mod serve;
mod workload;

use std::time::Duration;

use crate::Error;
use crate::candidates::{Candidate, LEGEND};
use crate::cores;
use crate::redis_server::Server;
use commands::Commands;
use figures::{Figures, Running};
use load::CONNECTIONS;
use workload::Workload;

const ROUNDS: usize = 5;

pub fn run(slice: Duration) -> Result<(), Error> {
    let redis = Server::start()?;
    let mut running = Vec::new();
    for candidate in Candidate::ALL {
        running.push(Running::start(candidate, &redis)?);
    }
    println!("\n## Sessions over HTTP\n");
    println!(
        "{CONNECTIONS} keep-alive connections, a session each of 10 keys and about 500 bytes; one \
         worker thread a server;\n{}; {ROUNDS} rounds of\n{slice:?} for each workload and \
         candidate, interleaved; medians, the lowest and highest round in brackets.\n\n{LEGEND}\n",
        cores::described()
    );
    for one in &running {
        check(one).map_err(|error| format!("{}: {error}", one.candidate.name()))?;
    }
    let mut measured: Vec<Vec<Figures>> = Vec::new();
    for workload in Workload::ALL {
        let figures = running.iter().map(|one| {
            let commands = Commands::of(workload, one.process.port(), redis.url())?;
            Ok::<_, Error>(Figures::new(commands))
        });
        measured.push(figures.collect::<Result<_, _>>()?);
    }
    for round in 0..ROUNDS {
        for (workload, figures) in Workload::ALL.into_iter().zip(&mut measured) {
            // Nobody always comes after the same one.
            for turn in 0..running.len() {
                let at = (round + turn) % running.len();
                let one = &mut running[at];
                let outcome = one.measure(workload, slice, &redis, &mut figures[at]);
                outcome.map_err(|error| format!("{}: {error}", one.candidate.name()))?;
            }
        }
    }
    for one in &running {
        let outcome = one.load.check_counts();
        outcome.map_err(|error| format!("{}: {error}", one.candidate.name()))?;
    }
    report::print(&measured);
    goals::print(|candidate, workload| {
        let at = Candidate::ALL.iter().position(|one| *one == candidate);
        let of = Workload::ALL.iter().position(|one| *one == workload);
        &measured[of.unwrap_or_default()][at.unwrap_or_default()]
    });
    Ok(())
}

fn check(one: &Running) -> Result<(), Error> {
    check::routes(one.process.port())?;
    let (asked, counted) = check::increments(one.process.port())?;
    let name = one.candidate.name();
    println!(
        "{name}: {asked} increments of one session by {CONNECTIONS} connections: {counted} counted."
    );
    if one.candidate.increments_atomically() && counted != asked {
        return Err("an increment was lost".into());
    }
    Ok(())
}
