//! Futures that are dropped on their way.

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

/// Polls a future so often, unless it ends before, and drops it.
pub(crate) async fn drop_after<F: Future>(polls: usize, future: F) {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if future.as_mut().poll(&mut context).is_ready() {
            return;
        }
        // Answers may come in between, so that the next poll gets further.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}
