//! The layers and the probes of a lifecycle.
//!
//! Floor 7.

use std::time::Duration;

use tower_layer::Stack;

use crate::drain_gate::layer::DrainGateLayer;
use crate::health::pre_stop::PreStopService;
use crate::health::service::ProbeService;
use crate::in_flight::layer::InFlightLayer;
use crate::lifecycle::detach::layer::DetachLayer;
use crate::lifecycle::finish::layer::FinishWithinLayer;
use crate::lifecycle::run::Lifecycle;

impl Lifecycle {
    /// In-flight tracking, and inside it the drain gate: a request is counted before the gate
    /// reads the phase. Goes outside all other layers.
    ///
    /// With [`show_watch`](crate::lifecycle::LifecycleBuilder::show_watch) the gate puts the watch on the
    /// phase into the extensions of each request that it lets in.
    ///
    /// For other options, stack an [`InFlightLayer`] on [`in_flight`](crate::lifecycle::LifecycleHandle::in_flight)
    /// and, inside it, a [`DrainGateLayer`] on [`watch`](crate::lifecycle::LifecycleHandle::watch).
    #[must_use]
    pub fn layer(&self) -> Stack<DrainGateLayer, InFlightLayer> {
        let gate = DrainGateLayer::new(self.watch()).with_watch(self.show_watch);
        let counted = InFlightLayer::new(self.in_flight())
            .with_paths(self.report_paths)
            .with_leaked_request_id(self.request_id_header);
        Stack::new(gate, counted)
    }

    /// For a route whose work may be long: ends what it still does when draining has gone on for
    /// `limit`, so that the drain goes on without it. See [`FinishWithinLayer`].
    #[must_use]
    pub fn finish_within(&self, limit: Duration) -> FinishWithinLayer {
        FinishWithinLayer::new(self.watch(), limit)
    }

    /// For a route whose handler must not be left half done: it goes on when its client goes away,
    /// and the drain waits for it. See [`DetachLayer`].
    #[must_use]
    pub fn detach(&self) -> DetachLayer {
        DetachLayer::new(self)
    }

    /// The probes, as a service and (feature `axum`) as a router to merge. They say no more than
    /// their verdict, unless told to with [`with_details`](ProbeService::with_details).
    ///
    /// Merge it after the layers, so that probes are in no session, never counted and never
    /// turned away. With it axum's plain 404 for unknown paths goes outside the layers too; a
    /// fallback of the application's own, set before the layers, stays inside.
    #[must_use]
    pub fn probes(&self) -> ProbeService {
        ProbeService::new(self.handle(), self.monitor.clone())
    }

    /// What begins the shutdown when it is asked: for a `preStop` hook. Nothing serves it unless you
    /// do, and only where nobody but the platform reaches it.
    #[must_use]
    pub fn pre_stop(&self) -> PreStopService {
        PreStopService::new(self.handle())
    }
}
