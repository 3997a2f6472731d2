//! The answer, with the hint to close its connection.
//!
//! Floor 6.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Response, StatusCode, header};
use pin_project_lite::pin_project;

use crate::answer::AnswerBody;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::watch::PhaseWatch;

pin_project! {
    /// The answer of a [`DrainGateService`](crate::drain_gate::DrainGateService).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct DrainGateFuture<F, B> {
        #[pin]
        state: State<F, B>,
        watch: PhaseWatch,
        http1: bool,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F, B> {
        Open { #[pin] inner: F },
        Shut { response: Option<Response<AnswerBody<B>>> },
    }
}

impl<F, B> DrainGateFuture<F, B> {
    pub(crate) fn open(inner: F, watch: PhaseWatch, http1: bool) -> Self {
        Self {
            state: State::Open { inner },
            watch,
            http1,
        }
    }

    pub(crate) fn shut(response: Response<AnswerBody<B>>, watch: PhaseWatch, http1: bool) -> Self {
        Self {
            state: State::Shut {
                response: Some(response),
            },
            watch,
            http1,
        }
    }
}

impl<F, B, E> Future for DrainGateFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<AnswerBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.state.project() {
            StateProj::Open { inner } => ready!(inner.poll(cx))?.map(AnswerBody::inner),
            StateProj::Shut { response } => response.take().expect("polled after it was ready"),
        };
        // HTTP/2 has no such header; there the server's GOAWAY says it. After a 101 the
        // connection is no longer HTTP's to close.
        if *this.http1
            && this.watch.current() >= Phase::Settling
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Poll::Ready(Ok(response))
    }
}
