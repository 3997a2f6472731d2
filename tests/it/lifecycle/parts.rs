//! Managed parts that hang leave the others their time.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_handoff::BoxError;
use tower_handoff::lifecycle::{BoxFuture, HookOutcome, Managed};

use super::common::{Journal, quiet_builder};

const SECOND: Duration = Duration::from_secs(1);

/// Hangs wherever it can, or takes a moment and notes it.
struct Part {
    name: &'static str,
    hangs: bool,
    journal: Journal,
}

impl Part {
    async fn does(&self, what: &str) {
        if self.hangs {
            pending::<()>().await;
        }
        sleep(Duration::from_millis(10)).await;
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

#[tokio::test(start_paused = true)]
async fn each_has_its_share_of_what_is_left() {
    let journal = Journal::default();
    let mut builder = quiet_builder().grace(20 * SECOND).hook_time(6 * SECOND);
    for (name, hangs) in [("a", true), ("b", false), ("c", true), ("d", false)] {
        let journal = journal.clone();
        builder = builder.manage(Part {
            name,
            hangs,
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
    assert_eq!(
        journal.read(),
        ["b flushes", "d flushes", "hook", "b closes", "d closes"]
    );
    let flushed: Vec<_> = report.hooks.iter().map(|hook| hook.outcome).collect();
    let (done, hung) = (HookOutcome::Done, HookOutcome::TimedOut);
    assert_eq!(flushed, [hung, done, hung, done, done]);
    // A quarter of the four seconds that the hook leaves; then half of what `b` has left as well.
    let took: Vec<_> = report.hooks.iter().map(|hook| hook.took).collect();
    assert_eq!(took[0], SECOND);
    assert!(took[2] > SECOND && took[2] < 2 * SECOND, "{took:?}");
    assert!(begun.elapsed() <= 20 * SECOND);
}
