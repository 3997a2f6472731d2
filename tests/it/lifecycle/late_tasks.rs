//! Background tasks that are spawned when nothing waits for them any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use tower_handoff::lifecycle::Phase;

use super::common::{quiet_builder, within};

/// Counts when it is dropped.
struct Counts(Arc<AtomicU64>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_spawned_when_the_time_is_over_is_dropped_and_never_begins() {
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let lifecycle = quiet_builder()
        .hook_time(std::time::Duration::from_secs(4))
        .on_shutdown(
            "waits",
            std::time::Duration::from_secs(3),
            async move || Ok(gone.await?),
        )
        .build()
        .unwrap();
    let handle = lifecycle.handle();
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    handle.shutdown();
    handle.watch().reached(Phase::Stopping).await;

    let (begun, dropped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = Vec::new();
    for _ in 0..500 {
        let (begun, counts) = (begun.clone(), Counts(dropped.clone()));
        tasks.push(handle.spawn("late", async move {
            let _counts = counts;
            begun.fetch_add(1, SeqCst);
        }));
    }
    for task in tasks {
        within("the task", task).await.unwrap();
    }
    assert_eq!((begun.load(SeqCst), dropped.load(SeqCst)), (0, 500));
    go.send(()).unwrap();
    within("the run", run).await.unwrap();
}
