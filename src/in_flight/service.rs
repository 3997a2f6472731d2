//! The service that counts.
//!
//! Floor 6.

use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::in_flight::body::InFlightBody;
use crate::in_flight::future::InFlightFuture;
use crate::in_flight::requests::{InFlight, Shows};

/// Made by [`InFlightLayer`](crate::in_flight::InFlightLayer).
#[derive(Debug, Clone)]
pub struct InFlightService<S> {
    pub(crate) inner: S,
    pub(crate) in_flight: InFlight,
    pub(crate) shows: Shows,
    pub(crate) listed: bool,
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for InFlightService<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    ResB: Body,
{
    type Response = Response<InFlightBody<ResB>>;
    type Error = S::Error;
    type Future = InFlightFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        // Counted before anything further in reads the phase; see the tracker.
        let token = if self.listed {
            self.in_flight.request(&request, self.shows)
        } else {
            self.in_flight.token()
        };
        InFlightFuture::new(self.inner.call(request), token)
    }
}
