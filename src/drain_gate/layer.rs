//! The layer's options.
//!
//! Floor 6.

use std::time::Duration;

use tower_layer::Layer;

use crate::answer::Responder;
use crate::drain_gate::service::DrainGateService;
use crate::lifecycle::watch::PhaseWatch;

/// Turns new requests away while the instance drains.
///
/// See the [module](crate::drain_gate).
#[derive(Debug, Clone)]
pub struct DrainGateLayer {
    watch: PhaseWatch,
    retry_after: Duration,
    responder: Responder,
    show_watch: bool,
}

impl DrainGateLayer {
    /// Opens and shuts with the watched phase.
    #[must_use]
    pub fn new(watch: PhaseWatch) -> Self {
        Self {
            watch,
            retry_after: Duration::from_secs(1),
            responder: Responder::default(),
            show_watch: false,
        }
    }

    /// When a client that was turned away may come back; up to as much again is added by
    /// chance, so that clients do not come back at once. Default and least: 1 s.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// What a client that was turned away gets. Default: 503 with `application/problem+json`.
    ///
    /// `Connection: close` is added on HTTP/1, whatever the answer. On HTTP/2 its head is sent alone,
    /// and of an answer with a body without `Content-Type` and `Content-Length`: a body would have to
    /// wait until its client has room for it, and the drain with it. An answer without one is sent as
    /// it is: with `content-type: application/grpc` and `grpc-status: 14` a gRPC client has
    /// `UNAVAILABLE` from gRPC itself.
    #[must_use]
    pub fn with_responder(mut self, responder: Responder) -> Self {
        self.responder = responder;
        self
    }

    /// Whether requests carry the [`PhaseWatch`] in their extensions, by which a handler hears that
    /// draining begins. Default: no, because it costs each of them an allocation.
    #[must_use]
    pub fn with_watch(mut self, shown: bool) -> Self {
        self.show_watch = shown;
        self
    }
}

impl<S> Layer<S> for DrainGateLayer {
    type Service = DrainGateService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self {
            watch,
            retry_after,
            responder,
            show_watch,
        } = self.clone();
        DrainGateService {
            inner,
            watch,
            retry_after,
            responder,
            show_watch,
        }
    }
}
