//! The ways in which an instance ends other than by a signal.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_handoff::lifecycle::{Outcome, Phase, ServerOutcome};

use super::common::{Journal, quiet_builder};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_begins_the_shutdown_and_makes_it_one() {
    let journal = Journal::default();
    let hook = journal.clone();
    let lifecycle = quiet_builder()
        .settle(5 * SECOND)
        .on_shutdown("hook", SECOND, move || async move {
            hook.note("hook");
            Ok(())
        })
        .build()
        .unwrap();
    let handle = lifecycle.handle();
    // What is in flight is still waited for; the settle is not.
    handle.spawn("write", sleep(SECOND));
    let begun = Instant::now();
    let report = lifecycle
        .run(async { Err::<(), _>(io::Error::other("no sockets")) })
        .await;
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!(journal.read(), ["hook"]);
    assert_eq!(
        report.server,
        ServerOutcome::Failed("no sockets".to_owned())
    );
    assert_eq!((report.outcome, report.exit_status()), (Outcome::Clean, 1));
    assert_eq!(report.error(), Some("no sockets"));
    assert_eq!(handle.phase(), Phase::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_by_itself_begins_the_shutdown_and_leaves_zero() {
    let lifecycle = quiet_builder().settle(5 * SECOND).build().unwrap();
    let report = lifecycle.run(sleep(SECOND)).await;
    assert_eq!(
        (report.server.clone(), report.exit_status()),
        (ServerOutcome::Done, 0)
    );
    assert_eq!(report.took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_ends_is_dropped_at_the_deadline() {
    let lifecycle = quiet_builder().build().unwrap();
    lifecycle.shutdown();
    let report = lifecycle.run(pending::<()>()).await;
    assert_eq!(report.server, ServerOutcome::Cut);
    assert_eq!((report.outcome, report.exit_status()), (Outcome::Forced, 1));
    assert!(report.took < 10 * SECOND, "{:?}", report.took);
}

#[tokio::test(start_paused = true)]
async fn a_start_up_gate_that_fails_ends_the_instance() {
    for panics in [false, true] {
        let lifecycle = quiet_builder()
            .on_start("slow", pending())
            .on_start("migrate", async move {
                sleep(SECOND).await;
                assert!(!panics, "as asked");
                Err("no schema".into())
            })
            .build()
            .unwrap();
        let handle = lifecycle.handle();
        let report = lifecycle.run(handle.stop_accepting()).await;
        let text = if panics { "it panicked" } else { "no schema" };
        assert_eq!(
            report.error(),
            Some(&*format!("start-up gate migrate: {text}"))
        );
        assert_eq!((report.outcome, report.exit_status()), (Outcome::Clean, 1));
        assert!(!handle.has_started());
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_before_start_up_has_finished_drops_the_gates() {
    let lifecycle = quiet_builder().on_start("slow", pending()).build().unwrap();
    let handle = lifecycle.handle();
    let asking = handle.clone();
    tokio::spawn(async move {
        sleep(SECOND).await;
        asking.shutdown();
    });
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!((report.exit_status(), report.took), (0, Duration::ZERO));
    assert!(!handle.has_started());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_gives_the_instance_up() {
    let journal = Journal::default();
    let hook = journal.clone();
    let lifecycle = quiet_builder()
        .on_shutdown("hook", SECOND, move || async move {
            hook.note("hook");
            Ok(())
        })
        .build()
        .unwrap();
    let handle = lifecycle.handle();
    let task = handle.spawn("endless", pending());
    let run = tokio::time::timeout(SECOND, lifecycle.run(pending::<()>()));
    assert!(run.await.is_err());
    assert_eq!(handle.phase(), Phase::Stopped);
    handle.stop_accepting().await;
    task.await.unwrap();
    assert!(journal.read().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_drain_waits_for_tasks_that_tasks_spawn_while_it_drains() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let child = handle.clone();
    handle.spawn("parent", async move {
        child.watch().reached(Phase::Draining).await;
        sleep(SECOND).await;
        child.spawn("child", sleep(SECOND));
    });
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!(report.draining, 2 * SECOND);
    assert_eq!((report.outcome, report.tasks), (Outcome::Clean, 1));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_panics_when_the_drain_begins_stops_nothing() {
    struct Panics;
    impl tower_handoff::lifecycle::Managed for Panics {
        fn name(&self) -> &str {
            "panics"
        }
        fn drain_begins(&self) {
            panic!("as asked");
        }
    }
    let lifecycle = quiet_builder().manage(Panics).build().unwrap();
    lifecycle.shutdown();
    let stop = lifecycle.stop_accepting();
    assert_eq!(lifecycle.run(stop).await.exit_status(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_not_waited_for() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let task = handle.spawn("panics", async { panic!("as asked") });
    assert_eq!(handle.status().tasks[0].name.as_deref(), Some("panics"));
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!(
        (report.outcome, report.tasks, report.took),
        (Outcome::Clean, 1, Duration::ZERO)
    );
    assert!(task.await.unwrap_err().is_panic());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_spawned_when_accepting_stops_is_waited_for() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let (ended, end) = tokio::sync::oneshot::channel();
    let late = handle.clone();
    let server = async move {
        late.stop_accepting().await;
        late.spawn("late", async move {
            sleep(SECOND).await;
            let _ = ended.send(());
        });
    };
    handle.shutdown();
    let report = lifecycle.run(server).await;
    assert_eq!((report.outcome, report.took), (Outcome::Clean, SECOND));
    end.await.unwrap();
}
