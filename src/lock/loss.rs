//! Whether work under a lock may go on.
//!
//! Floor 3.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::lock::error::LockErrorKind;
use crate::lock::holding::Holding;

type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Asked before and after each poll of the work, it says whether the work is to be stopped.
pub(crate) struct LossWatch(Vec<(Arc<Holding>, Ended)>);

impl LossWatch {
    pub(crate) fn new(all: &[Arc<Holding>]) -> Self {
        let ended =
            |holding: Arc<Holding>| -> Ended { Box::pin(async move { holding.ended().await }) };
        Self(all.iter().map(|h| (h.clone(), ended(h.clone()))).collect())
    }

    /// The output of `work`; `None` where a lock was lost, and the work was stopped or came too late.
    pub(crate) async fn run<W: Future>(mut self, work: W) -> Option<W::Output> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            // First the lock: a process that was suspended past its lease must not take another
            // step when it runs again.
            if self.is_lost(cx) {
                return Poll::Ready(None);
            }
            let done = ready!(work.as_mut().poll(cx));
            Poll::Ready((!self.is_lost(cx)).then_some(done))
        })
        .await
    }

    /// Whether a lock was lost; one that the work let go itself is not. If none was, the task is
    /// woken when one is.
    pub(crate) fn is_lost(&mut self, cx: &mut Context<'_>) -> bool {
        // Each is asked, or its end would wake nobody.
        let mut any = false;
        for (holding, ended) in &mut self.0 {
            let held = holding.check().and_then(|()| {
                // Once it has resolved, the check before it fails.
                let _ = ended.as_mut().poll(cx);
                holding.check()
            });
            any |= held.is_err_and(|error| error.kind() == LockErrorKind::Lost);
        }
        any
    }
}
