//! The platform's request to stop, as a service.
//!
//! Floor 6.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{Method, Request, Response, StatusCode};
use tower_service::Service;

use crate::health::body::ProbeBody;
use crate::health::service::{only, plain};
use crate::lifecycle::handle::LifecycleHandle;

/// Begins the shutdown for whoever asks, as the first signal does: for a platform that says by HTTP
/// that an instance is to go, like the `preStop` hook of Kubernetes.
///
/// POST, or the GET that is all a `preStop` hook of kind `httpGet` can send, is answered with 202 at
/// once, asked again or not; other methods with 405. The signal that follows is then a first one,
/// and changes nothing, also when the run is over by then: the grace counts from here, as that of Kubernetes, whose grace period begins
/// with the hook and not with the signal. So it is to return at once, and the settle does the waiting
/// that a `sleep` in the hook would. It looks at no path.
///
/// **Whoever reaches it ends the instance.** Kubernetes asks from outside the pod, so it belongs on a
/// port that no load balancer knows, the one of the [probes](crate::health) for instance:
///
/// ```
/// # #[cfg(feature = "axum")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, routing::any_service};
/// use tower_handoff::lifecycle::{Lifecycle, Phase};
///
/// let lifecycle = Lifecycle::builder().build()?;
/// let inside = Router::from(lifecycle.probes().with_details(true))
///     .route("/pre-stop", any_service(lifecycle.pre_stop()));
/// let stopped = lifecycle.watch().reached(Phase::Stopped);
/// let tcp = tokio::net::TcpListener::bind("0.0.0.0:9090").await?;
/// tokio::spawn(axum::serve(tcp, inside).with_graceful_shutdown(stopped).into_future());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PreStopService {
    lifecycle: LifecycleHandle,
}

impl PreStopService {
    pub(crate) fn new(lifecycle: LifecycleHandle) -> Self {
        Self { lifecycle }
    }
}

impl<B> Service<Request<B>> for PreStopService {
    type Response = Response<ProbeBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if ![Method::GET, Method::POST].contains(request.method()) {
            return ready(Ok(only("GET, POST")));
        }
        self.lifecycle.shutdown();
        ready(Ok(plain(StatusCode::ACCEPTED)))
    }
}
