//! From the call to the answer's head.
//!
//! Floor 6.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::in_flight::body::InFlightBody;
use crate::in_flight::requests::InFlightToken;

pin_project! {
    /// The answer of an [`InFlightService`](crate::in_flight::InFlightService).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct InFlightFuture<F> {
        #[pin]
        inner: F,
        // Goes with the future when it is dropped, before its first poll or after a panic.
        token: Option<InFlightToken>,
    }
}

impl<F> InFlightFuture<F> {
    pub(crate) fn new(inner: F, token: InFlightToken) -> Self {
        Self {
            inner,
            token: Some(token),
        }
    }
}

impl<F, B, E> Future for InFlightFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<InFlightBody<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let token = this.token.take();
        Poll::Ready(result.map(|response| response.map(|body| InFlightBody::new(body, token))))
    }
}
