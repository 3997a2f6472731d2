//! The layer's options.
//!
//! Floor 6.

use std::time::Duration;

use tower_layer::Layer;

use crate::answer::Responder;
use crate::lifecycle::finish::service::FinishWithinService;
use crate::lifecycle::watch::PhaseWatch;

/// Ends what a route still does when draining has gone on for some time, so that a stream which
/// nobody ends does not hold the whole drain. Made by
/// [`Lifecycle::finish_within`](crate::lifecycle::Lifecycle::finish_within).
///
/// For streams, long polls, exports. They hear of the drain when it begins, by a
/// [`PhaseWatch`] and [`until_drain`](PhaseWatch::until_drain), and end well; this is for those
/// that do not.
///
/// | at the end of the time | what happens |
/// | --- | --- |
/// | the handler has not answered | it is dropped where it waits, and its client gets 503, without `Retry-After`: that work may or may not be done ([`CutOff`](crate::Reason::CutOff)) |
/// | the body has not ended | it is dropped and fails with [`Overrun`](crate::lifecycle::Overrun): the client sees an answer that was cut (HTTP/1 without its last chunk, HTTP/2 a reset stream), and never takes it for whole. An `EventSource` comes back either way |
/// | the body has a client that does not read | nothing: its server does not ask the body for more, and the drain has the connection, as any answer that is not taken in |
/// | the connection was upgraded | nothing: a WebSocket is none of the route's any more |
///
/// The time counts from the moment when draining begins, not from the signal: all of the settle
/// comes before. Zero ends them as draining begins. One that is longer than the drain is none: the
/// drain's end comes first, and cuts off.
///
/// The report counts them ([`overran`](crate::lifecycle::Report::overran)) and they make no drain
/// forced: the route's author has decided it. The exit code stays 0.
///
/// It goes on a route, anywhere inside [`Lifecycle::layer`](crate::lifecycle::Lifecycle::layer), and inside
/// [`detach`](crate::lifecycle::Lifecycle::detach): outside of that it would end the answer, and not the work.
///
/// # Cost
/// No allocation and no timer before draining begins; a request that waits, and a body that has
/// nothing to give, listen for the phase, at the cost of a lock.
///
/// # Panics
/// Its requests do where draining has begun and their task is in no tokio runtime with time.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # mod example {
/// use std::time::Duration;
///
/// use axum::{Router, routing::get};
/// use tower::ServiceBuilder;
/// use tower_handoff::Lifecycle;
///
/// # async fn export() {}
/// fn app(lifecycle: &Lifecycle) -> Router {
///     let soon = lifecycle.finish_within(Duration::from_secs(5));
///     Router::new()
///         .route("/export", get(export).layer(soon))
///         .layer(ServiceBuilder::new().layer(lifecycle.layer()))
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FinishWithinLayer {
    watch: PhaseWatch,
    limit: Duration,
    responder: Responder,
}

impl FinishWithinLayer {
    /// Ends what is under way when the watched phase has been `Draining`, or later, for `limit`.
    #[must_use]
    pub fn new(watch: PhaseWatch, limit: Duration) -> Self {
        Self {
            watch,
            limit,
            responder: Responder::default(),
        }
    }

    /// What the client of a handler that has not answered gets. Default: 503 with
    /// `application/problem+json`. The rules of the
    /// [drain gate](crate::drain_gate::DrainGateLayer::with_responder) hold for it.
    #[must_use]
    pub fn with_responder(mut self, responder: Responder) -> Self {
        self.responder = responder;
        self
    }
}

impl<S> Layer<S> for FinishWithinLayer {
    type Service = FinishWithinService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self {
            watch,
            limit,
            responder,
        } = self.clone();
        FinishWithinService {
            inner,
            watch,
            limit,
            responder,
        }
    }
}
