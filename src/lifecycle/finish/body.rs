//! The answer's body, which fails when its time is over.
//!
//! Floor 6.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::BoxError;
use crate::answer::AnswerBody;
use crate::lifecycle::finish::time::DrainTime;
use crate::lifecycle::watch::PhaseWatch;

/// What the body of an answer fails with when its route gives it no more of the drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overrun;

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("draining, and the time of this route is over")
    }
}

impl std::error::Error for Overrun {}

pin_project! {
    /// The body of an answer of [`FinishWithinService`](crate::lifecycle::FinishWithinService).
    #[derive(Debug)]
    pub struct FinishWithinBody<B> {
        // Dropped when its time is over.
        #[pin]
        inner: Option<AnswerBody<B>>,
        #[pin]
        time: Option<DrainTime>,
        // Dropped last, and inside the in-flight layer: counted here before the request has ended.
        counted: Option<Counted>,
    }
}

/// One that overran, counted when it ends.
#[derive(Debug)]
struct Counted(PhaseWatch);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.has_overrun();
    }
}

impl<B> FinishWithinBody<B> {
    pub(crate) fn new(inner: B, time: DrainTime) -> Self {
        Self {
            inner: Some(AnswerBody::inner(inner)),
            time: Some(time),
            counted: None,
        }
    }

    /// The answer in place of the handler's.
    pub(crate) fn in_place(answer: AnswerBody<B>, watch: PhaseWatch) -> Self {
        Self {
            inner: Some(answer),
            time: None,
            counted: Some(Counted(watch)),
        }
    }
}

impl<B> Body for FinishWithinBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        // The time first, as soon as it runs: there are bodies that always have more.
        let time = this.time.as_mut().as_pin_mut();
        let mut over = time.is_some_and(|time| time.has_begun() && time.poll(cx).is_ready());
        if !over {
            let Some(inner) = this.inner.as_mut().as_pin_mut() else {
                return Poll::Ready(None);
            };
            if let Poll::Ready(frame) = inner.poll_frame(cx) {
                return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
            }
            let time = this.time.as_mut().as_pin_mut();
            over = time.is_some_and(|time| time.poll(cx).is_ready());
        }
        if !over {
            return Poll::Pending;
        }
        if let Some(time) = &*this.time {
            *this.counted = Some(Counted(time.watch()));
        }
        this.inner.set(None);
        this.time.set(None);
        tracing::debug!("an answer was cut: {Overrun}");
        Poll::Ready(Some(Err(Overrun.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}
