//! The answer that the task sends.
//!
//! Floor 6.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread;

use http::Response;
use tokio::sync::oneshot;

use crate::answer::{AnswerBody, Refusal, Responder, head_alone};
use crate::lifecycle::watch::PhaseWatch;
use crate::reason::Reason;

/// The answer of a [`DetachService`](crate::lifecycle::DetachService).
///
/// Dropped, it leaves the handler running. Where the handler panics, so does this.
#[must_use = "nobody hears the answer"]
pub struct DetachFuture<B, E> {
    answered: oneshot::Receiver<Answered<B, E>>,
    http1: bool,
    watch: PhaseWatch,
}

type Answered<B, E> = thread::Result<Result<Response<B>, E>>;

impl<B, E> DetachFuture<B, E> {
    pub(crate) fn new(
        answered: oneshot::Receiver<Answered<B, E>>,
        http1: bool,
        watch: PhaseWatch,
    ) -> Self {
        Self {
            answered,
            http1,
            watch,
        }
    }
}

impl<B, E> Future for DetachFuture<B, E> {
    type Output = Result<Response<AnswerBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(Pin::new(&mut self.answered).poll(cx)) {
            Ok(Ok(result)) => Poll::Ready(result.map(|response| response.map(AnswerBody::inner))),
            Ok(Err(panic)) => resume_unwind(panic),
            // The task was dropped: the drain's time is over, or the runtime ends.
            Err(_) => {
                // Before the request ends, so that nobody takes it for one that ended by itself.
                self.watch.is_cut_short();
                let refusal = Refusal::new(Reason::CutOff);
                let mut answer = Responder::default().respond(refusal);
                if !self.http1 {
                    head_alone(&mut answer);
                }
                Poll::Ready(Ok(answer))
            }
        }
    }
}

impl<B, E> fmt::Debug for DetachFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachFuture").finish_non_exhaustive()
    }
}
