//! The service: decides, from the request's head, what the future has to do.
//!
//! Floor 6.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::lock::admission::admit;
use crate::lock::body::LockBody;
use crate::lock::future::LockFuture;
use crate::lock::options::Options;

/// A service that [`LockLayer`](crate::lock::LockLayer) guards.
#[derive(Debug, Clone)]
pub struct LockService<S> {
    inner: S,
    options: Arc<Options>,
}

impl<S> LockService<S> {
    pub(super) fn new(inner: S, options: Arc<Options>) -> Self {
        Self { inner, options }
    }
}

impl<S, B, R> Service<Request<B>> for LockService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body,
    R::Data: From<Bytes>,
{
    type Response = Response<LockBody<R>>;
    type Error = S::Error;
    type Future = LockFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !self.options.guards(request.method()) {
            return LockFuture::pass(self.inner.call(request));
        }
        let (mut parts, body) = request.into_parts();
        let admission = Box::pin(admit(self.options.clone(), &mut parts));
        let request = Request::from_parts(parts, body);
        // The clone was never asked whether it is ready; the service that was goes along.
        let next = self.inner.clone();
        let inner = mem::replace(&mut self.inner, next);
        LockFuture::admitting(admission, inner, request, self.options.clone())
    }
}
