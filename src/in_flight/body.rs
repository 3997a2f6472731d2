//! From the answer's head to its last byte.
//!
//! Floor 6.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::in_flight::requests::InFlightToken;

pin_project! {
    /// The inner service's body, with the request's token in it: servers drop a body when its last
    /// byte is on its way, when it fails, or when nobody is there to take it.
    ///
    /// It looks at nothing that the inner body gives: that would cost more than the counting does.
    #[derive(Debug)]
    pub struct InFlightBody<B> {
        // Dropped first: the request lasts as long as whatever the body holds.
        #[pin]
        inner: B,
        token: Option<InFlightToken>,
    }
}

impl<B: Body> InFlightBody<B> {
    #[inline]
    pub(crate) fn new(inner: B, token: Option<InFlightToken>) -> Self {
        // A small one is spared the second look into the list: it is out as soon as its head is, or
        // its connection is listed as one that takes no more.
        if let Some(token) = &token
            && token.is_listed()
            && inner
                .size_hint()
                .exact()
                .is_none_or(|size| size > 64 * 1024)
        {
            token.body_begins();
        }
        Self { inner, token }
    }
}

impl<B: Body> Body for InFlightBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
