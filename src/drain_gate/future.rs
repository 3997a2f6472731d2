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
        hint: Hint,
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

/// Whether an answer may say that its connection closes. Where the bytes are no longer HTTP's after
/// it, 101 or a yes to CONNECT, it is not HTTP's to close.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hint {
    /// HTTP/2 has no such header; there the server's GOAWAY says it.
    Never,
    /// To CONNECT.
    IfRefused,
    Always,
}

impl<F, B> DrainGateFuture<F, B> {
    pub(crate) fn open(inner: F, watch: PhaseWatch, hint: Hint) -> Self {
        Self {
            state: State::Open { inner },
            watch,
            hint,
        }
    }

    pub(crate) fn shut(response: Response<AnswerBody<B>>, watch: PhaseWatch, hint: Hint) -> Self {
        Self {
            state: State::Shut {
                response: Some(response),
            },
            watch,
            hint,
        }
    }
}

impl<F, B, E> Future for DrainGateFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<AnswerBody<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.state.project() {
            StateProj::Open { inner } => {
                let result = ready!(inner.poll(cx));
                // Nearly always: the head is not looked at, and not copied for it.
                if this.watch.current() < Phase::Settling {
                    return Poll::Ready(result.map(|response| response.map(AnswerBody::inner)));
                }
                result?.map(AnswerBody::inner)
            }
            StateProj::Shut { response } => response.take().expect("polled after it was ready"),
        };
        let status = response.status();
        let hints = match this.hint {
            Hint::Never => false,
            Hint::IfRefused => !status.is_success(),
            Hint::Always => status != StatusCode::SWITCHING_PROTOCOLS,
        };
        if hints {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Poll::Ready(Ok(response))
    }
}
