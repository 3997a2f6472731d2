//! A time that begins with the drain.
//!
//! Floor 4.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::lifecycle::phase::Phase;
use crate::lifecycle::sync::Notified;
use crate::lifecycle::watch::PhaseWatch;

pin_project! {
    /// Ready when draining has gone on for `limit`. There is no timer before it has begun.
    #[derive(Debug)]
    pub(crate) struct DrainTime {
        #[pin]
        changed: Notified<'static>,
        sleep: Option<Pin<Box<Sleep>>>,
        watch: PhaseWatch,
        limit: Duration,
    }
}

impl DrainTime {
    pub(crate) fn new(watch: PhaseWatch, limit: Duration) -> Self {
        Self {
            changed: watch.changed(),
            sleep: None,
            watch,
            limit,
        }
    }

    /// The same for somebody else.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.watch, self.limit)
    }

    pub(crate) fn watch(&self) -> PhaseWatch {
        self.watch
    }

    /// Whether it runs: one atomic load.
    pub(crate) fn has_begun(&self) -> bool {
        self.watch.current() >= Phase::Draining
    }
}

impl Future for DrainTime {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.sleep.is_none() {
            let since = loop {
                // Listens first and looks then, so a change in between is not missed.
                let changed = this.changed.as_mut().poll(cx);
                if let Some(since) = this.watch.draining_since() {
                    break since;
                }
                ready!(changed);
                this.changed.set(this.watch.changed());
            };
            // What no clock can show is later than any drain's end.
            let Some(ends) = since.checked_add(*this.limit) else {
                return Poll::Pending;
            };
            if ends <= Instant::now() {
                return Poll::Ready(());
            }
            *this.sleep = Some(Box::pin(sleep_until(ends)));
        }
        match this.sleep {
            // The handler, polled before, may have used up the task's budget.
            Some(sleep) => pin!(unconstrained(sleep.as_mut())).poll(cx),
            None => Poll::Pending,
        }
    }
}
