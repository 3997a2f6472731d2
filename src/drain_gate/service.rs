//! The service that lets in or turns away.
//!
//! Floor 6.

use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, Version};
use tower_service::Service;

use crate::answer::{AnswerBody, Refusal, Responder, head_alone};
use crate::drain_gate::future::{DrainGateFuture, Hint};
use crate::lifecycle::phase::Phase;
use crate::lifecycle::watch::PhaseWatch;
use crate::reason::Reason;

/// Made by [`DrainGateLayer`](crate::drain_gate::DrainGateLayer).
#[derive(Debug, Clone)]
pub struct DrainGateService<S> {
    pub(crate) inner: S,
    pub(crate) watch: PhaseWatch,
    pub(crate) retry_after: Duration,
    pub(crate) responder: Responder,
    pub(crate) show_watch: bool,
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for DrainGateService<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
{
    type Response = Response<AnswerBody<ResB>>;
    type Error = S::Error;
    type Future = DrainGateFuture<S::Future, ResB>;

    /// Forwarded untouched. A gate that was not ready while draining would leave its callers
    /// hanging where they can be told to go elsewhere.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let http1 = request.version() <= Version::HTTP_11;
        let hint = match *request.method() {
            _ if !http1 => Hint::Never,
            Method::CONNECT => Hint::IfRefused,
            _ => Hint::Always,
        };
        if self.watch.current() < Phase::Draining {
            if self.show_watch {
                request.extensions_mut().insert(self.watch);
            }
            return DrainGateFuture::open(self.inner.call(request), self.watch, hint);
        }
        self.watch.turned_away();
        let refusal = Refusal::new(Reason::Draining).retry_about(self.retry_after);
        let mut answer = self.responder.respond(refusal);
        if !http1 {
            head_alone(&mut answer);
        }
        DrainGateFuture::shut(answer, self.watch, hint)
    }
}
