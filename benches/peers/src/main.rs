//! tower-handoff beside its peers: the same work, one run, interleaved, as ratios of medians.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- [http|sessions|locks[:part]|in-flight] [seconds]
//! ```
//!
//! `http` is what to quote of sessions: each candidate in a process of its own, asked over
//! loopback. `sessions` calls the routers directly, so that the layer and its Redis client are
//! compared without sockets. `locks:alone`, `route`, `wake` or `contended` is that part of `locks`. `seconds` is the time for one candidate in one round, 2 unless said.
//!
//! Starts a `redis-server` of its own on a free port (`REDIS_SERVER` names another binary). On
//! Linux with two cores, Redis and the load run on one and what is measured on the other;
//! elsewhere nothing is pinned, which the output says.

mod candidates;
mod cores;
mod http;
mod in_flight;
mod locks;
mod measure;
mod redis_server;
mod redis_usage;
mod sessions;

use std::time::Duration;

use candidates::Candidate;
use cores::Core;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "all".to_owned());
    if what == "serve" {
        let (candidate, redis) = (arguments.next(), arguments.next());
        let (candidate, redis) = candidate
            .zip(redis)
            .ok_or("serve <candidate> <redis url>")?;
        return http::serve::run(Candidate::of_name(&candidate)?, &redis);
    }
    if what == "lock-worker" {
        return locks::worker::run(&arguments.collect::<Vec<_>>());
    }
    let seconds: u64 = match arguments.next() {
        Some(text) => text
            .parse()
            .map_err(|_| format!("seconds is {text:?}; accepted: a whole number"))?,
        None => 2,
    };
    let (what, part) = match what.split_once(':') {
        Some(("locks", part)) => ("locks", Some(part)),
        _ => (&*what, None),
    };
    if !["all", "http", "sessions", "locks", "in-flight"].contains(&what) {
        return Err(format!(
            "{what:?}; accepted: http, sessions, locks, in-flight, or nothing for all"
        )
        .into());
    }
    let slice = Duration::from_secs(seconds.max(1));
    // Before this thread is pinned: it needs both cores.
    if what == "all" || what == "in-flight" {
        in_flight::run()?;
    }
    if what == "all" || what == "http" {
        cores::on(Core::Others, || http::run(slice))?;
    }
    if what == "all" || what == "sessions" || what == "locks" {
        cores::on(Core::Measured, || in_process(what, part, slice))?;
    }
    Ok(())
}

/// This process is what is measured.
fn in_process(what: &str, part: Option<&str>, slice: Duration) -> Result<(), Error> {
    println!("\n{}", cores::described());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    if what != "locks" {
        runtime.block_on(sessions::run(slice))?;
    }
    if what != "sessions" {
        runtime.block_on(locks::run(part, slice))?;
    }
    Ok(())
}
