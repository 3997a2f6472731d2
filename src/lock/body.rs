//! The answer's body, which may keep the lock to its end.
//!
//! Floor 6.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::answer::AnswerBody;
use crate::lock::guard::Kept;

pin_project! {
    /// The body of an answer of [`LockService`](crate::lock::LockService).
    ///
    /// Where it streams, it holds the lock until it ends, fails, or is dropped.
    #[derive(Debug)]
    pub struct LockBody<B> {
        #[pin]
        inner: AnswerBody<B>,
        kept: Option<Kept>,
    }
}

impl<B> LockBody<B> {
    pub(super) fn new(inner: AnswerBody<B>, kept: Option<Kept>) -> Self {
        Self { inner, kept }
    }
}

impl<B> Body for LockBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        // A server need not poll again a body that says that it has ended.
        if !matches!(frame, Some(Ok(_))) || this.inner.is_end_stream() {
            *this.kept = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
