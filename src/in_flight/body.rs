//! From the answer's head to its last byte.
//!
//! Floor 6.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::in_flight::requests::InFlightToken;

pin_project! {
    /// The inner service's body, with the request's token in it until the body ends, fails or
    /// is dropped.
    #[derive(Debug)]
    pub struct InFlightBody<B> {
        #[pin]
        inner: B,
        token: Option<InFlightToken>,
        begun: bool,
    }
}

impl<B> InFlightBody<B> {
    pub(crate) fn new(inner: B, token: Option<InFlightToken>) -> Self {
        Self {
            inner,
            token,
            begun: false,
        }
    }
}

impl<B: Body> Body for InFlightBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let polled = this.inner.as_mut().poll_frame(cx);
        let ended = match &polled {
            Poll::Pending => false,
            Poll::Ready(Some(Ok(_))) => this.inner.is_end_stream(),
            Poll::Ready(None | Some(Err(_))) => true,
        };
        if ended {
            drop(this.token.take());
        } else if !*this.begun {
            // A body of one piece never comes here, so it is spared the look into the list.
            *this.begun = true;
            if let Some(token) = this.token.as_ref() {
                token.body_begins();
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
