//! The server's future, kept going whatever else is waited for.
//!
//! Floor 3.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::task::unconstrained;

use crate::BoxError;
use crate::lifecycle::report::ServerOutcome;

/// What a server's future may return: `()`, or a result whose error says what went wrong.
pub trait ServerOutput {
    /// What went wrong, if anything did.
    fn into_error(self) -> Option<BoxError>;
}

impl ServerOutput for () {
    fn into_error(self) -> Option<BoxError> {
        None
    }
}

impl<E: Into<BoxError>> ServerOutput for Result<(), E> {
    fn into_error(self) -> Option<BoxError> {
        self.err().map(Into::into)
    }
}

/// A server that is polled whenever something is awaited through it.
///
/// What is awaited has no part in the task's budget, or one that is never at rest (an accept loop
/// whose queue is never empty) would use it up each time, and tokio's timers come to nothing without.
pub(crate) struct Served<'a, F> {
    future: Pin<&'a mut F>,
    outcome: Option<ServerOutcome>,
}

impl<'a, F> Served<'a, F>
where
    F: Future,
    F::Output: ServerOutput,
{
    pub(crate) fn new(future: Pin<&'a mut F>) -> Self {
        Self {
            future,
            outcome: None,
        }
    }

    /// Waits for `event`, or for the server's end if that comes first.
    pub(crate) async fn until(&mut self, event: impl Future<Output = ()>) {
        let mut event = pin!(unconstrained(event));
        poll_fn(|cx| match self.poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => event.as_mut().poll(cx),
        })
        .await;
    }

    /// Waits for `work`, also when the server ends meanwhile.
    pub(crate) async fn alongside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(unconstrained(work));
        poll_fn(|cx| {
            let _ = self.poll(cx);
            work.as_mut().poll(cx)
        })
        .await
    }

    /// How it has ended; `Cut` if it has not.
    pub(crate) fn outcome(&self) -> ServerOutcome {
        self.outcome.clone().unwrap_or(ServerOutcome::Cut)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.outcome.is_none()
            && let Poll::Ready(output) = self.future.as_mut().poll(cx)
        {
            self.outcome = Some(match output.into_error() {
                None => ServerOutcome::Done,
                Some(error) => {
                    tracing::error!(%error, "the server failed");
                    ServerOutcome::Failed(error.to_string())
                }
            });
        }
        if self.outcome.is_some() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
