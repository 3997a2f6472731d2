//! The clock of a platform that asks by HTTP first: it runs from there, and so does the instance's.

use std::time::Duration;

use http::Request;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;
use tower_handoff::lifecycle::{Outcome, Phase, PlatformKind};

use super::common::quiet_builder;

const SECOND: Duration = Duration::from_secs(1);

/// On Kubernetes the grace period begins with the hook; the signal comes when it has returned, and
/// does not begin it anew. An instance that counted from there would be killed before its report.
#[tokio::test(start_paused = true)]
async fn the_grace_counts_from_the_hook_and_not_from_the_signal_behind_it() {
    let lifecycle = quiet_builder()
        .platform(PlatformKind::Kubernetes)
        .build()
        .unwrap();
    let budget = *lifecycle.budget();
    assert_eq!(budget.grace(), 30 * SECOND);
    let handle = lifecycle.handle();
    let _stuck = handle.in_flight().token();
    let pre_stop = lifecycle.pre_stop();
    let (asked, watch) = (handle.clone(), handle.watch());
    let platform = tokio::spawn(async move {
        sleep(7 * SECOND).await;
        let hook = Instant::now();
        let answer = pre_stop.oneshot(Request::post("/pre-stop").body(()).unwrap());
        assert_eq!(answer.await.unwrap().status(), 202);
        assert_eq!(watch.current(), Phase::Settling);
        // What its signal does. The hook of another container may take its time.
        sleep(4 * SECOND).await;
        asked.shutdown();
        let at = |phase| async move {
            watch.reached(phase).await;
            hook.elapsed()
        };
        (at(Phase::Draining).await, at(Phase::Forcing).await, hook)
    });
    let run = timeout(120 * SECOND, lifecycle.run(handle.stop_accepting()));
    let report = run.await.expect("the run ends");
    let ended = Instant::now();
    let (draining, forcing, hook) = platform.await.unwrap();
    let deadline = budget.settle() + budget.drain();
    // Timers are of whole milliseconds.
    let milli = Duration::from_millis(2);
    assert!(draining.abs_diff(budget.settle()) < milli, "{draining:?}");
    assert!(
        forcing >= deadline && forcing < deadline + SECOND / 4,
        "{forcing:?}"
    );
    assert_eq!(report.outcome, Outcome::Forced);
    assert!(ended - hook < budget.grace(), "{report:?}");
    assert!(report.took.abs_diff(ended - hook) < milli, "{report:?}");
}
