//! The service that puts a time on what it is asked.
//!
//! Floor 6.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use tower_service::Service;

use crate::BoxError;
use crate::answer::Responder;
use crate::lifecycle::finish::body::FinishWithinBody;
use crate::lifecycle::finish::future::FinishWithinFuture;
use crate::lifecycle::finish::time::DrainTime;
use crate::lifecycle::watch::PhaseWatch;

/// Made by [`FinishWithinLayer`](crate::lifecycle::FinishWithinLayer).
#[derive(Debug, Clone)]
pub struct FinishWithinService<S> {
    pub(crate) inner: S,
    pub(crate) watch: PhaseWatch,
    pub(crate) limit: Duration,
    pub(crate) responder: Responder,
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for FinishWithinService<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    ResB: Body,
    ResB::Data: From<Bytes>,
    ResB::Error: Into<BoxError>,
{
    type Response = Response<FinishWithinBody<ResB>>;
    type Error = S::Error;
    type Future = FinishWithinFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let http1 = request.version() <= Version::HTTP_11;
        let time = DrainTime::new(self.watch, self.limit);
        FinishWithinFuture::new(
            self.inner.call(request),
            time,
            self.responder.clone(),
            http1,
        )
    }
}
