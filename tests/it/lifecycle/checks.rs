//! Checks run beside the probes: what they find, do or fail to do, and what a probe says of it.

use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::FutureExt;
use http::Request;
use serde_json::json;
use tokio::time::sleep;
use tower::ServiceExt;
use tower_handoff::BoxError;
use tower_handoff::health::ProbeService;
use tower_handoff::health::{BoxFuture, Check, CheckClass, CheckPolicy, HealthCheck};
use tower_handoff::lifecycle::{Managed, Phase};
use tracing::Level;

use super::common::{eventually, quiet_builder};
use super::probes::{get, start};
use crate::support::log::Log;

const SECOND: Duration = Duration::from_secs(1);

/// A check that a test switches.
fn switched(name: &str, class: CheckClass, works: &Arc<AtomicBool>) -> Check {
    let works = works.clone();
    let check = move || {
        let works = works.load(SeqCst);
        async move {
            if works {
                Ok(())
            } else {
                Err("at 10.0.0.7: refused".into())
            }
        }
    };
    Check::new(name, check).class(class)
}

async fn ready_is(probes: &ProbeService, code: u16, status: &str) {
    eventually(&format!("/ready is {code} {status}"), async || {
        let (found, body) = get(probes, "/ready").await;
        (found, body["status"].as_str()) == (code, Some(status))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_class_decides_what_a_failure_does_to_readiness() {
    for (class, before, away) in [
        (CheckClass::Required, (503, "fail"), (503, "fail")),
        (CheckClass::Optional, (200, "warn"), (200, "warn")),
        (
            CheckClass::RequiredUntilFirstPass,
            (503, "fail"),
            (200, "warn"),
        ),
    ] {
        let works = Arc::new(AtomicBool::new(false));
        let (handle, probes, _run) = start(quiet_builder().check(switched("db", class, &works)));
        handle.watch().reached(Phase::Ready).await;
        ready_is(&probes, before.0, before.1).await;
        works.store(true, SeqCst);
        ready_is(&probes, 200, "pass").await;
        works.store(false, SeqCst);
        ready_is(&probes, away.0, away.1).await;
        let (_, body) = get(&probes, "/ready").await;
        assert_eq!(body["output"], "db fails");
        assert_eq!(body["checks"]["db"][0]["output"], "fails");
        assert!(
            !body.to_string().contains("10.0.0.7"),
            "an error's text got out"
        );
        works.store(true, SeqCst);
        ready_is(&probes, 200, "pass").await;
        handle.shutdown();
        assert_eq!(get(&probes, "/ready").await.0, 503);
    }
}

#[tokio::test(start_paused = true)]
async fn checks_that_hang_or_panic_harm_neither_probes_nor_other_checks() {
    let works = Arc::new(AtomicBool::new(true));
    let (handle, probes, _run) = start(
        quiet_builder()
            .check(Check::new("hangs", pending).class(CheckClass::Optional))
            .check(
                Check::new("panics", || async { panic!("as asked") }).class(CheckClass::Optional),
            )
            .check(switched("works", CheckClass::Required, &works)),
    );
    handle.watch().reached(Phase::Ready).await;
    let (_, body) = get(&probes, "/health").await;
    assert_eq!(body["checks"]["hangs"][0]["output"], "not checked yet");
    sleep(4 * SECOND).await;
    let (code, body) = get(&probes, "/ready").await;
    let expected = json!({
        "hangs": [{"status": "warn", "output": "does not answer in time"}],
        "panics": [{"status": "warn", "output": "panics"}],
        "works": [{"status": "pass"}],
    });
    assert_eq!((code, &body["checks"]), (200, &expected));
}

#[tokio::test(start_paused = true)]
async fn absurd_times_are_times() {
    let (shortest, longest) = (Duration::ZERO, Duration::MAX);
    let policy = CheckPolicy::default().interval(longest).timeout(longest);
    let patient = Check::new("patient", || async { Ok(()) }).policy(policy);
    let policy = CheckPolicy::default().retry(shortest).timeout(shortest);
    let hasty = Check::new("hasty", || async { Ok(()) }).policy(policy);
    let (handle, probes, run) = start(quiet_builder().check(patient).check(hasty));
    ready_is(&probes, 200, "pass").await;
    handle.shutdown();
    run.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_probe_asks_no_dependency() {
    let asked = Arc::new(AtomicU64::new(0));
    let counter = asked.clone();
    let check = Check::new("db", move || {
        counter.fetch_add(1, SeqCst);
        async { Ok(()) }
    });
    let policy = CheckPolicy::default().interval(10 * SECOND);
    let (handle, probes, run) = start(quiet_builder().check(check.policy(policy)));
    handle.watch().reached(Phase::Ready).await;
    ready_is(&probes, 200, "pass").await;
    for _ in 0..1000 {
        get(&probes, "/ready").await;
    }
    assert_eq!(asked.load(SeqCst), 1);
    sleep(25 * SECOND).await;
    assert_eq!(asked.load(SeqCst), 3);
    // Nobody is asked any more when the instance is gone.
    handle.shutdown();
    run.await.unwrap();
    sleep(100 * SECOND).await;
    assert_eq!(asked.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_managed_part_brings_its_check() {
    struct Store;
    impl HealthCheck for Store {
        fn name(&self) -> &str {
            "store"
        }
        fn check(&self) -> BoxFuture<'_, Result<(), tower_handoff::BoxError>> {
            Box::pin(async { Ok(()) })
        }
    }
    impl Managed for Store {
        fn name(&self) -> &str {
            "store"
        }
        fn health_check(&self) -> Option<Arc<dyn HealthCheck>> {
            Some(Arc::new(Store))
        }
    }
    let (_handle, probes, _run) = start(quiet_builder().manage(Store));
    ready_is(&probes, 200, "pass").await;
    assert_eq!(
        get(&probes, "/ready").await.1["checks"]["store"][0]["status"],
        "pass"
    );
}

/// It is written in a log, whose writer is no place for its panic.
#[tokio::test(start_paused = true)]
async fn a_check_whose_error_panics_when_it_is_written_panics_and_may_pass_again() {
    #[derive(Debug)]
    struct Unwritable;
    impl std::error::Error for Unwritable {}
    impl std::fmt::Display for Unwritable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("as asked")
        }
    }
    let (_log, _listens) = Log::of_this_thread(Level::INFO);
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let check = Check::new("db", move || {
        let run = counted.fetch_add(1, SeqCst);
        async move {
            match run {
                0..3 => Err(Unwritable.into()),
                _ => Ok(()),
            }
        }
    });
    let (handle, probes, run) = start(quiet_builder().check(check));
    eventually("it panics", async || {
        get(&probes, "/ready").await.1["checks"]["db"][0]["output"] == "panics"
    })
    .await;
    ready_is(&probes, 200, "pass").await;
    assert!(runs.load(SeqCst) >= 4);
    handle.shutdown();
    run.await.unwrap();
}

#[tokio::test]
async fn a_log_that_takes_nothing_in_holds_up_no_probe() {
    /// Waits for an answer before it takes in a line about a check; whether it got one.
    struct Stuck(ProbeService, mpsc::Sender<bool>);
    impl io::Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            if String::from_utf8_lossy(line).contains("health changed") {
                let (says, said) = mpsc::channel();
                let probes = self.0.clone();
                std::thread::spawn(move || {
                    let ask = probes.oneshot(Request::get("/ready").body(()).unwrap());
                    says.send(ask.now_or_never().is_some())
                });
                let answered = said.recv_timeout(5 * SECOND).unwrap_or(false);
                self.1.send(answered).unwrap();
            }
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (_log, _listens) = Log::of_this_thread(Level::INFO);
    let works = Arc::new(AtomicBool::new(true));
    let builder = quiet_builder().check(switched("db", CheckClass::Required, &works));
    let (handle, probes, run) = start(builder);
    let (tells, told) = mpsc::channel();
    let stuck = probes.clone();
    let log = tracing_subscriber::fmt()
        .with_writer(move || Stuck(stuck.clone(), tells.clone()))
        .finish();
    let listens = tracing::subscriber::set_default(log);
    ready_is(&probes, 200, "pass").await;
    drop(listens);
    assert!(told.recv().unwrap());
    handle.shutdown();
    run.await.unwrap();
}

/// What it says of itself, it says once: nothing of it but `check` can fail later.
#[tokio::test(start_paused = true)]
async fn a_check_that_would_panic_when_asked_for_its_policy_again_is_not_asked_again() {
    #[derive(Default)]
    struct Once {
        asked: [AtomicBool; 2],
    }
    impl Once {
        fn first(&self, which: usize) {
            assert!(!self.asked[which].swap(true, SeqCst), "as asked");
        }
    }
    impl HealthCheck for Once {
        fn name(&self) -> &str {
            "once"
        }
        fn class(&self) -> CheckClass {
            self.first(0);
            CheckClass::Required
        }
        fn policy(&self) -> CheckPolicy {
            self.first(1);
            CheckPolicy::default()
        }
        fn check(&self) -> BoxFuture<'_, Result<(), BoxError>> {
            Box::pin(async { Ok(()) })
        }
    }
    let (handle, probes, run) = start(quiet_builder().check(Once::default()));
    eventually("it has passed", async || {
        get(&probes, "/ready").await.0 == 200
    })
    .await;
    assert_eq!(
        get(&probes, "/ready").await.1["checks"]["once"][0]["status"],
        "pass"
    );
    handle.shutdown();
    run.await.unwrap();
}

/// As they are unless told otherwise: anybody can ask them.
#[tokio::test(start_paused = true)]
async fn without_details_a_probe_says_its_verdict_alone() {
    let works = Arc::new(AtomicBool::new(false));
    let check = switched("search", CheckClass::Required, &works);
    let lifecycle = quiet_builder().check(check).build().unwrap();
    let (handle, terse) = (lifecycle.handle(), lifecycle.probes());
    let probes = terse.clone().with_details(true);
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    handle.watch().reached(Phase::Ready).await;
    ready_is(&probes, 503, "fail").await;
    for (path, status) in [
        ("/health", "pass"),
        ("/ready", "fail"),
        ("/startup", "pass"),
    ] {
        let (code, body) = get(&terse, path).await;
        assert_eq!(code, get(&probes, path).await.0, "{path}");
        assert_eq!(body, json!({ "status": status }), "{path}");
    }
    works.store(true, SeqCst);
    ready_is(&terse, 200, "pass").await;
    handle.shutdown();
    assert_eq!(
        get(&terse, "/ready").await,
        (503, json!({ "status": "fail" }))
    );
    run.await.unwrap();
}
