//! tower-handoff beside its peers: the same work, one run, interleaved, as ratios of medians.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- [sessions|locks|in-flight] [seconds]
//! ```
//!
//! Starts a `redis-server` of its own (`REDIS_SERVER` names another binary). Where `taskset`
//! exists, Redis runs on the second core and this process on the first.

mod in_flight;
mod locks;
mod measure;
mod server;
mod sessions;

use std::time::Duration;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "all".to_owned());
    let seconds: u64 = match arguments.next() {
        Some(text) => text
            .parse()
            .map_err(|_| format!("seconds is {text:?}; accepted: a whole number"))?,
        None => 2,
    };
    if !["all", "sessions", "locks", "in-flight"].contains(&what.as_str()) {
        return Err(
            format!("{what:?}; accepted: sessions, locks, in-flight, or nothing for all").into(),
        );
    }
    let slice = Duration::from_secs(seconds.max(1));
    // Before the cores are told apart: it needs both.
    if what == "all" || what == "in-flight" {
        in_flight::run()?;
    }
    server::pin_to_first_core();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    if what == "all" || what == "sessions" {
        runtime.block_on(sessions::run(slice))?;
    }
    if what == "all" || what == "locks" {
        runtime.block_on(locks::run(slice))?;
    }
    Ok(())
}
