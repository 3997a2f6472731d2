//! The log says each phase, what the one before took, and what is left.

use std::time::Duration;

use tokio::time::sleep;
use tower_handoff::lifecycle::Outcome;
use tracing::Level;

use super::common::quiet_builder;
use crate::support::log::Log;
use crate::support::spans::Spans;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn each_phase_is_said_once_with_its_times() {
    let (log, _guard) = Log::of_this_thread(Level::INFO);
    let builder = quiet_builder().grace(20 * SECOND).settle(2 * SECOND);
    let hook = || async {
        sleep(SECOND).await;
        Ok(())
    };
    let builder = builder
        .hook_time(4 * SECOND)
        .on_shutdown("hook", 2 * SECOND, hook);
    let lifecycle = builder.on_start("warm", hook()).build().unwrap();
    let handle = lifecycle.handle();
    let held = handle.in_flight().token();
    let asked = handle.clone();
    tokio::spawn(async move {
        sleep(5 * SECOND).await;
        asked.shutdown();
        asked.shutdown();
    });
    let report = lifecycle.run(handle.stop_accepting()).await;
    drop(held);
    assert_eq!(report.outcome, Outcome::Forced);
    let text = log.text();
    let phases: Vec<_> = text
        .lines()
        .filter_map(|line| Some(line.split_once(": ")?.1))
        .filter(|line| line.contains("previous="))
        .collect();
    let expected = [
        "ready previous=starting took=1s in_flight=1",
        "settling previous=ready took=4s in_flight=1 left=20s",
        "draining previous=settling took=2s in_flight=1 left=18s",
        "forcing previous=draining took=13s in_flight=1 left=5s",
        "stopping previous=forcing",
        "stopped previous=stopping took=1s in_flight=1",
    ];
    assert_eq!(phases.len(), expected.len(), "{text}");
    for (phase, expected) in phases.iter().zip(expected) {
        assert!(phase.contains(expected), "{expected} in {text}");
    }
}

#[tokio::test]
async fn what_a_hook_logs_is_known_as_its_own() {
    let (spans, guard) = Spans::of_this_thread("lifecycle.hook");
    let hook = || async { Ok(()) };
    let builder = quiet_builder().on_shutdown("first", SECOND, hook);
    let lifecycle = builder.on_shutdown("second", SECOND, hook).build().unwrap();
    let handle = lifecycle.handle();
    handle.shutdown();
    lifecycle.run(handle.stop_accepting()).await;
    drop(guard);
    let names: Vec<_> = spans
        .take()
        .iter()
        .map(|span| span.get("name").to_owned())
        .collect();
    assert_eq!(names, ["first", "second"]);
}
