//! The probes as a service.
//!
//! Floor 6.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tower_service::Service;

use crate::health::answer::{Probe, State};
use crate::health::body::ProbeBody;
use crate::health::monitor::Monitor;
use crate::lifecycle::handle::LifecycleHandle;

/// Answers `/health`, `/ready` and `/startup`; see the [module](crate::health).
///
/// A plain service for requests with any body. It reads what the checks said last and never
/// waits for them, so it is always ready and its future is done at once.
#[derive(Debug, Clone)]
pub struct ProbeService {
    lifecycle: LifecycleHandle,
    monitor: Monitor,
    instance: Arc<str>,
    details: bool,
}

impl ProbeService {
    /// The paths that it answers.
    pub const PATHS: [&'static str; 3] = ["/health", "/ready", "/startup"];

    pub(crate) fn new(lifecycle: LifecycleHandle, monitor: Monitor) -> Self {
        let instance = lifecycle.instance_id().into();
        Self {
            lifecycle,
            monitor,
            instance,
            details: false,
        }
    }

    /// Whether answers say more than `status`: the phase, the instance, which checks there are, and
    /// why the answer is no. Default: no, because anybody can ask probes that are merged into the
    /// application. Those of `serve_probes`, on a socket of their own, say all.
    #[must_use]
    pub fn with_details(mut self, shown: bool) -> Self {
        self.details = shown;
        self
    }

    fn answer(&self, method: &Method, path: &str) -> Response<ProbeBody> {
        let Some(probe) = Probe::at(path) else {
            return plain(StatusCode::NOT_FOUND);
        };
        if method != Method::GET && method != Method::HEAD {
            return only("GET, HEAD");
        }
        let state = State {
            phase: self.lifecycle.watch().current(),
            started: self.lifecycle.has_started(),
            instance: &self.instance,
            checks: self.monitor.views(),
        };
        let (status, json) = state.answer(probe, self.details);
        let mut response = plain(status);
        let headers = response.headers_mut();
        let json_type = HeaderValue::from_static("application/health+json");
        headers.insert(header::CONTENT_TYPE, json_type);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(json.len()));
        if method == Method::GET {
            *response.body_mut() = ProbeBody::new(Bytes::from(json));
        }
        response
    }
}

/// What any other method gets.
pub(crate) fn only(allowed: &'static str) -> Response<ProbeBody> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

pub(crate) fn plain(status: StatusCode) -> Response<ProbeBody> {
    let mut response = Response::new(ProbeBody::new(Bytes::new()));
    *response.status_mut() = status;
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

impl<B> Service<Request<B>> for ProbeService {
    type Response = Response<ProbeBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.uri().path())))
    }
}
