//! The table of what was measured, and what of it not to trust.

use super::figures::{BUSY, Figures, Limit};
use super::workload::Workload;
use crate::candidates::Candidate;
use crate::measure::{header, row};

/// `measured` by workload, then candidate.
pub fn print(measured: &[Vec<Figures>]) {
    println!();
    header(&[
        "workload",
        "candidate",
        "requests/s",
        "÷ raw",
        "÷ TS",
        "server CPU µs a request",
        "Redis CPU µs a request",
        "busy: server / Redis / load",
        "Redis commands a request",
    ]);
    let (mut by_others, mut by_nothing) = (Vec::new(), Vec::new());
    for (workload, figures) in Workload::ALL.into_iter().zip(measured) {
        for (candidate, one) in Candidate::ALL.into_iter().zip(figures) {
            let limited = match one.limit() {
                Limit::Nothing => Some(&mut by_nothing),
                Limit::Others => Some(&mut by_others),
                Limit::Server | Limit::Unknown => None,
            };
            if let Some(limited) = limited {
                limited.push(format!("{} of {}", workload.name(), candidate.name()));
            }
            row(&[
                workload.name().to_owned(),
                candidate.name().to_owned(),
                format!("{:.0} ({})", one.rate.median(), one.rate.spread()),
                one.rate.over(&figures[0].rate).to_string(),
                one.rate.over(&figures[1].rate).to_string(),
                format!("{:.1}", one.server_cpu.median()),
                format!("{:.1}", one.redis_cpu.median()),
                format!(
                    "{:.2} / {:.2} / {:.2}",
                    one.server_busy.median(),
                    one.redis_busy.median(),
                    one.load_busy.median()
                ),
                one.commands.to_string(),
            ]);
        }
    }
    if !by_others.is_empty() {
        println!(
            "\nLimited by the core of Redis and the load, so the rate understates the server (its CPU \
             a request does not): {}.",
            by_others.join("; ")
        );
    }
    if !by_nothing.is_empty() {
        println!(
            "\nNEITHER CORE WAS FULL (busy below {BUSY}): somebody else used the machine. Trust CPU a request and \
             commands, not rates, of: {}.",
            by_nothing.join("; ")
        );
    }
    println!(
        "\nBlind write and increment: raw and TS load first and write all (raw overwrites what came \
         between, TS too), their closest equivalent."
    );
}
