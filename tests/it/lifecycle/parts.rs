//! Managed parts that hang leave the others their time.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_handoff::BoxError;
use tower_handoff::lifecycle::{BoxFuture, HookOutcome, HookReport, Managed};

use super::common::{Journal, quiet_builder};

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(10);
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Takes its time for whatever it does, and notes it then.
struct Part {
    name: &'static str,
    takes: Duration,
    journal: Journal,
}

impl Part {
    async fn does(&self, what: &str) {
        sleep(self.takes).await;
        self.journal.note(format!("{} {what}", self.name));
    }
}

impl Managed for Part {
    fn name(&self) -> &str {
        self.name
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async {
            self.does("flushes").await;
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.does("closes"))
    }
}

/// What a run of 20 s with six for parts and a hook of two seconds notes and reports.
async fn run(parts: &[(&'static str, Duration)]) -> (Vec<String>, Vec<HookReport>) {
    let journal = Journal::default();
    let mut builder = quiet_builder().grace(20 * SECOND).hook_time(6 * SECOND);
    for &(name, takes) in parts {
        let journal = journal.clone();
        builder = builder.manage(Part {
            name,
            takes,
            journal,
        });
    }
    let hook = journal.clone();
    let builder = builder.on_shutdown("hook", 2 * SECOND, move || async move {
        hook.note("hook");
        Ok(())
    });
    let lifecycle = builder.build().unwrap();
    let handle = lifecycle.handle();
    handle.shutdown();
    let begun = Instant::now();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert!(begun.elapsed() <= 20 * SECOND);
    (journal.read(), report.hooks)
}

#[tokio::test(start_paused = true)]
async fn each_has_its_share_of_what_is_left() {
    let parts = [
        ("a", FOR_EVER),
        ("b", MOMENT),
        ("c", FOR_EVER),
        ("d", MOMENT),
    ];
    let (notes, hooks) = run(&parts).await;
    let expected = ["b flushes", "d flushes", "hook", "b closes", "d closes"];
    assert_eq!(notes, expected);
    let names: Vec<_> = hooks.iter().map(|hook| &*hook.name).collect();
    assert_eq!(names, ["a", "b", "c", "d", "hook"]);
    let flushed: Vec<_> = hooks.iter().map(|hook| hook.outcome).collect();
    let (done, hung) = (HookOutcome::Done, HookOutcome::TimedOut);
    assert_eq!(flushed, [hung, done, hung, done, done]);
    // All of the four seconds that the hook leaves, but the next ones begin meanwhile: `b` after
    // a quarter of them, `d` after half of what `b` has left.
    let took: Vec<_> = hooks.iter().map(|hook| hook.took).collect();
    assert_eq!(took[0], 4 * SECOND);
    assert!(took[2] > 2 * SECOND && took[2] < 3 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_needs_more_than_its_share_has_what_the_others_leave() {
    let slow = Duration::from_millis(2400);
    let (notes, hooks) = run(&[("slow", slow), ("b", MOMENT), ("c", MOMENT)]).await;
    let expected = [
        "b flushes",
        "c flushes",
        "slow flushes",
        "hook",
        "b closes",
        "c closes",
    ];
    assert_eq!(notes[..4], expected[..4]);
    assert!(
        notes[4..].starts_with(&expected.map(str::to_owned)[4..]),
        "{notes:?}"
    );
    let (done, took): (Vec<_>, Vec<_>) = hooks.iter().map(|hook| (hook.outcome, hook.took)).unzip();
    assert_eq!(done, [HookOutcome::Done; 4]);
    assert_eq!(took[0], slow);
}
