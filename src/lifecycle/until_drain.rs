//! A stream that ends when draining begins.
//!
//! Floor 4.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::lifecycle::phase::Phase;
use crate::lifecycle::sync::Notified;
use crate::lifecycle::watch::PhaseWatch;

pin_project! {
    /// Made by [`PhaseWatch::until_drain`].
    #[must_use = "streams do nothing unless polled"]
    pub struct UntilDrain<S> {
        #[pin]
        stream: S,
        #[pin]
        changed: Notified<'static>,
        watch: PhaseWatch,
    }
}

impl PhaseWatch {
    /// `stream`, but only until draining begins: then it ends, between two items, whether or not
    /// more are ready.
    ///
    /// For answers that have no end of their own, such as server-sent events. Chain what the client
    /// shall hear last; it also comes where the stream ends by itself:
    ///
    /// ```
    /// use futures_util::stream::{self, StreamExt};
    /// use tower_handoff::lifecycle::{Phase, PhaseControl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let phases = PhaseControl::new();
    /// let ticks = phases.watch().until_drain(stream::repeat("tick"));
    /// let mut events = std::pin::pin!(ticks.chain(stream::iter(["bye"])));
    ///
    /// assert_eq!(events.next().await, Some("tick"));
    /// phases.advance(Phase::Draining);
    /// assert_eq!(events.next().await, Some("bye"));
    /// assert_eq!(events.next().await, None);
    /// # }
    /// ```
    ///
    /// Costs an atomic load for each item, and a lock when there is none to give. May be dropped at
    /// any time. The items that `stream` had ready are lost with it.
    pub fn until_drain<S: Stream>(&self, stream: S) -> UntilDrain<S> {
        UntilDrain {
            stream,
            changed: self.changed(),
            watch: *self,
        }
    }
}

impl<S: Stream> Stream for UntilDrain<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        if this.watch.current() < Phase::Draining {
            let next = this.stream.poll_next(cx);
            if next.is_ready() {
                return next;
            }
            // Listens first and looks then, so a change in between is not missed.
            while this.changed.as_mut().poll(cx).is_ready() {
                this.changed.set(this.watch.changed());
            }
            if this.watch.current() < Phase::Draining {
                return Poll::Pending;
            }
        }
        Poll::Ready(None)
    }
}

impl<S: fmt::Debug> fmt::Debug for UntilDrain<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntilDrain")
            .field("stream", &self.stream)
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}
