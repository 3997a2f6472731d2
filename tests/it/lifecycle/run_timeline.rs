//! A whole shutdown on a paused clock: what happens, in which order, at which second.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tower_handoff::BoxError;
use tower_handoff::health::BoxFuture;
use tower_handoff::lifecycle::{Lifecycle, LifecycleHandle, Managed, Outcome, Phase};

use super::common::{Journal, quiet_builder};

const SECOND: Duration = Duration::from_secs(1);

/// Notes when it is called and finds which phase.
struct Part {
    journal: Journal,
    flush_takes: Duration,
}

impl Managed for Part {
    fn name(&self) -> &str {
        "part"
    }

    fn drain_begins(&self) {
        self.journal.note("part drains");
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async {
            self.journal.note("part flushes");
            sleep(self.flush_takes).await;
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.journal.note("part closes") })
    }
}

/// Notes each phase with its second.
fn note_phases(handle: &LifecycleHandle, journal: &Journal) {
    let begun = Instant::now();
    for phase in [
        Phase::Ready,
        Phase::Settling,
        Phase::Draining,
        Phase::Forcing,
        Phase::Stopping,
    ] {
        let (watch, journal) = (handle.watch(), journal.clone());
        tokio::spawn(async move {
            watch.reached(phase).await;
            if watch.current() == phase {
                journal.note(format!("{phase} at {}", begun.elapsed().as_millis()));
            }
        });
    }
}

/// Ends when it is told to, after its last bytes.
async fn server(lifecycle: &LifecycleHandle, journal: &Journal) {
    let stop = lifecycle.stop_accepting();
    stop.await;
    journal.note("server stops");
    sleep(Duration::from_millis(10)).await;
    journal.note("server ends");
}

fn lifecycle(journal: &Journal, flush_takes: Duration) -> Lifecycle {
    let part = Part {
        journal: journal.clone(),
        flush_takes,
    };
    let (first, second) = (journal.clone(), journal.clone());
    quiet_builder()
        .grace(20 * SECOND)
        .settle(2 * SECOND)
        .hook_time(4 * SECOND)
        .manage(part)
        .on_start("warm", sleep_ok(SECOND))
        .on_shutdown("first", SECOND, move || async move {
            first.note("first hook");
            Ok(())
        })
        .on_shutdown("second", SECOND, move || async move {
            second.note("second hook");
            Ok(())
        })
        .build()
        .unwrap()
}

async fn sleep_ok(time: Duration) -> Result<(), BoxError> {
    sleep(time).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_clean_shutdown() {
    let journal = Journal::default();
    let lifecycle = lifecycle(&journal, Duration::ZERO);
    let handle = lifecycle.handle();
    note_phases(&handle, &journal);
    let job = handle.clone();
    tokio::spawn(async move {
        sleep(5 * SECOND).await;
        // Two things are under way at the signal, for three seconds and for four.
        let request = job.in_flight().token();
        job.spawn("reindex", sleep(4 * SECOND));
        job.shutdown();
        job.shutdown();
        sleep(3 * SECOND).await;
        drop(request);
    });

    let report = lifecycle.run(server(&handle, &journal)).await;

    assert_eq!(
        journal.read(),
        [
            "ready at 1000",
            "settling at 5000",
            "part drains",
            "draining at 7000",
            "server stops",
            "server ends",
            "stopping at 9010",
            "part flushes",
            "first hook",
            "second hook",
            "part closes",
        ]
    );
    assert_eq!(handle.phase(), Phase::Stopped);
    assert_eq!(report.exit_status(), 0);
    let json = serde_json::to_value(&report).unwrap();
    let expected = serde_json::json!({
        "outcome": "clean", "in_flight_at_signal": 1, "completed": 1, "rejected": 0, "overran": 0,
        "upgraded": 0, "tasks": 1,
        "aborted": [],
        "unfinished_heads": [],
        "hooks": [
            {"name": "part", "outcome": "done", "ms": 0},
            {"name": "first", "outcome": "done", "ms": 0},
            {"name": "second", "outcome": "done", "ms": 0},
        ],
        "ms": 4010, "phases": {"settling": 2000, "draining": 2010, "stopping": 0},
        "server": "done", "error": null,
    });
    assert_eq!(json, expected);
}

#[tokio::test(start_paused = true)]
async fn a_forced_shutdown_names_what_it_cut_off_and_still_runs_the_hooks() {
    let journal = Journal::default();
    let lifecycle = lifecycle(&journal, Duration::ZERO);
    let handle = lifecycle.handle();
    note_phases(&handle, &journal);
    let task = handle.spawn("endless", std::future::pending());
    let mut stuck = stuck_request(&lifecycle);
    assert!(stuck.as_mut().now_or_never().is_none());
    let asking = handle.clone();
    tokio::spawn(async move {
        sleep(5 * SECOND).await;
        asking.shutdown();
    });

    let report = lifecycle.run(server(&handle, &journal)).await;

    // 20 s of grace - 2 s settle - 4 s hooks - 1 s margin leave 13 s of drain.
    assert_eq!(
        journal.read(),
        [
            "ready at 1000",
            "settling at 5000",
            "part drains",
            "draining at 7000",
            "server stops",
            "forcing at 20000",
            "server ends",
            "stopping at 20010",
            "part flushes",
            "first hook",
            "second hook",
            "part closes",
        ]
    );
    assert_eq!((report.outcome, report.exit_status()), (Outcome::Forced, 1));
    let aborted = serde_json::to_value(&report.aborted).unwrap();
    let expected = serde_json::json!([
        {"method":null,"route":null,"path":null,"age_ms":20000,"stage":"task","name":"endless"},
        {"method":"GET","route":"/stuck","path":null,"age_ms":20000,"stage":"handler"},
    ]);
    assert_eq!(aborted, expected);
    assert_eq!(
        (report.in_flight_at_signal, report.completed, report.tasks),
        (1, 0, 1)
    );
    // The task was really dropped.
    task.await.unwrap();
    assert!(handle.status().tasks.is_empty());
}

type Stuck = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn stuck_request(lifecycle: &Lifecycle) -> Stuck {
    use http::{Request, Response};
    use tower::{Layer, ServiceExt, service_fn};
    let service = lifecycle.layer().layer(service_fn(|_: Request<()>| {
        type Body = http_body_util::Full<bytes::Bytes>;
        std::future::pending::<Result<Response<Body>, std::convert::Infallible>>()
    }));
    let mut request = Request::get("/stuck").body(()).unwrap();
    let route = tower_handoff::in_flight::RouteName::new("/stuck");
    request.extensions_mut().insert(route);
    Box::pin(async move { drop(service.oneshot(request).await) })
}

#[tokio::test(start_paused = true)]
async fn hooks_that_fail_panic_hang_and_overrun_stop_nobody_else() {
    let journal = Journal::default();
    let (last, during) = (journal.clone(), Arc::new(tokio::sync::Notify::new()));
    let dropped = during.clone();
    let lifecycle = quiet_builder()
        .hook_time(6 * SECOND)
        .on_shutdown("fails", SECOND, || async { Err("as asked".into()) })
        .on_shutdown("panics", SECOND, || async { panic!("as asked") })
        .on_shutdown("panics-at-once", SECOND, || -> BoxFuture<'static, _> {
            panic!("as asked")
        })
        .on_shutdown("hangs", SECOND, move || async move {
            let _told = NotifyOnDrop(dropped);
            std::future::pending().await
        })
        .on_shutdown("overruns", 2 * SECOND, || sleep_ok(3 * SECOND))
        .on_shutdown("works", SECOND, move || async move {
            last.note("works");
            Ok(())
        })
        .on_shutdown("too-late", 60 * SECOND, || sleep_ok(5 * SECOND))
        .build()
        .unwrap();
    lifecycle.shutdown();
    let stop = lifecycle.stop_accepting();
    let report = lifecycle.run(stop).await;
    during.notified().await;

    assert_eq!(journal.read(), ["works"]);
    let hooks = serde_json::to_value(&report.hooks).unwrap();
    let expected = serde_json::json!([
        {"name": "fails", "outcome": "failed", "ms": 0},
        {"name": "panics", "outcome": "failed", "ms": 0},
        {"name": "panics-at-once", "outcome": "failed", "ms": 0},
        {"name": "hangs", "outcome": "timed_out", "ms": 1000},
        {"name": "overruns", "outcome": "timed_out", "ms": 2000},
        {"name": "works", "outcome": "done", "ms": 0},
        // Its own time is longer, but this is all that is left of the hooks'.
        {"name": "too-late", "outcome": "timed_out", "ms": 3000},
    ]);
    assert_eq!(hooks, expected);
    assert_eq!((report.outcome, report.exit_status()), (Outcome::Forced, 1));
}

struct NotifyOnDrop(Arc<tokio::sync::Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_hook_alone_is_named_and_leaves_zero() {
    let lifecycle = quiet_builder()
        .on_shutdown("fails", SECOND, || async { Err("as asked".into()) })
        .build()
        .unwrap();
    lifecycle.shutdown();
    let stop = lifecycle.stop_accepting();
    let report = lifecycle.run(stop).await;
    assert_eq!((report.outcome, report.exit_status()), (Outcome::Clean, 0));
    assert_eq!(report.hooks.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_hangs_leaves_the_hooks_their_time() {
    let journal = Journal::default();
    let lifecycle = lifecycle(&journal, 3600 * SECOND);
    let handle = lifecycle.handle();
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    let hooks = serde_json::to_value(&report.hooks).unwrap();
    let expected = serde_json::json!([
        // Of 4 s the hooks' own time-outs leave 2 s.
        {"name": "part", "outcome": "timed_out", "ms": 2000},
        {"name": "first", "outcome": "done", "ms": 0},
        {"name": "second", "outcome": "done", "ms": 0},
    ]);
    assert_eq!(hooks, expected);
    let read = journal.read();
    let end: Vec<_> = read.iter().rev().take(3).collect();
    assert_eq!(end, ["part closes", "second hook", "first hook"]);
}
