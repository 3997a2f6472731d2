//! The handler's answer, or the gate's where its time is over.
//!
//! Floor 6.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::BoxError;
use crate::answer::{Refusal, Responder, head_alone};
use crate::lifecycle::finish::body::FinishWithinBody;
use crate::lifecycle::finish::time::DrainTime;
use crate::reason::Reason;

pin_project! {
    /// The answer of a [`FinishWithinService`](crate::lifecycle::FinishWithinService).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct FinishWithinFuture<F> {
        #[pin]
        inner: Option<F>,
        #[pin]
        time: DrainTime,
        responder: Responder,
        http1: bool,
    }
}

impl<F> FinishWithinFuture<F> {
    pub(crate) fn new(inner: F, time: DrainTime, responder: Responder, http1: bool) -> Self {
        Self {
            inner: Some(inner),
            time,
            responder,
            http1,
        }
    }
}

impl<F, B, E> Future for FinishWithinFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    B::Data: From<Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<FinishWithinBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let inner = this.inner.as_mut().as_pin_mut();
        // The handler first: an answer that is there is better than none.
        if let Poll::Ready(result) = inner.expect("polled after it was ready").poll(cx) {
            let time = this.time.again();
            let timed =
                |response: Response<B>| response.map(|body| FinishWithinBody::new(body, time));
            return Poll::Ready(result.map(timed));
        }
        ready!(this.time.as_mut().poll(cx));
        // Where it waits, and before its client is told.
        this.inner.set(None);
        let refusal = Refusal::new(Reason::CutOff);
        let mut answer = this.responder.respond(refusal);
        if !*this.http1 {
            head_alone(&mut answer);
        }
        let watch = this.time.watch();
        Poll::Ready(Ok(
            answer.map(|body| FinishWithinBody::in_place(body, watch))
        ))
    }
}
