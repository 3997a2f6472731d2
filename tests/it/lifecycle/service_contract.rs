//! Every layer calls the service that was made ready, and no other.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt};
use tower_handoff::Responder;
use tower_handoff::drain_gate::{DrainGateLayer, DrainGateService};
use tower_handoff::in_flight::{self, InFlight, InFlightLayer};
use tower_handoff::lifecycle::{Phase, PhaseControl};

use super::common::{quiet_builder, request};

/// Must be made ready before each call, and its clone is not ready.
#[derive(Default)]
struct Strict {
    ready: bool,
    asked: u32,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<()>> for Strict {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked += 1;
        if self.asked % 2 == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without being ready"
        );
        ready(Ok(Response::new(Full::new(Bytes::new()))))
    }
}

async fn keeps_the_contract<L>(layer: L)
where
    L: Layer<Strict>,
    L::Service: Service<Request<()>, Error = Infallible> + Clone,
{
    let mut service = layer.layer(Strict::default());
    let mut clone = service.clone();
    for service in [&mut service, &mut clone] {
        for _ in 0..3 {
            let Ok(_) = service.ready().await.unwrap().call(request()).await;
        }
    }
}

#[tokio::test]
async fn the_readied_service_is_the_one_that_is_called() {
    let phases = PhaseControl::new();
    keeps_the_contract(InFlightLayer::new(InFlight::new())).await;
    keeps_the_contract(DrainGateLayer::new(phases.watch())).await;
    let lifecycle = quiet_builder().build().unwrap();
    keeps_the_contract(lifecycle.layer()).await;
    keeps_the_contract(lifecycle.finish_within(Duration::ZERO)).await;
    keeps_the_contract(lifecycle.detach()).await;
    // Readiness is the inner service's own, also when the gate is shut.
    phases.advance(Phase::Draining);
    keeps_the_contract(DrainGateLayer::new(phases.watch())).await;
}

#[test]
fn a_request_is_counted_before_the_gate_reads_the_phase() {
    type Ordered = in_flight::InFlightService<DrainGateService<Strict>>;
    let lifecycle = quiet_builder().build().unwrap();
    let _: Ordered = lifecycle.layer().layer(Strict::default());

    // While the gate refuses, the request counts.
    let (phases, counted) = (PhaseControl::new(), InFlight::new());
    phases.advance(Phase::Draining);
    let responder = Responder::new(move |_| {
        assert_eq!(counted.count(), 1);
        Response::new(Bytes::new())
    });
    let gate = DrainGateLayer::new(phases.watch()).with_responder(responder);
    let mut service = InFlightLayer::new(counted).layer(gate.layer(Strict::default()));
    drop(service.call(request()));
    assert_eq!(counted.count(), 0);
}

#[test]
fn what_servers_share_and_send_can_be_shared_and_sent() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send + 'static>() {}
    use tower_handoff::{drain_gate as gate, health, lifecycle};
    shared::<InFlight>();
    shared::<in_flight::InFlightService<Strict>>();
    shared::<gate::DrainGateService<Strict>>();
    shared::<lifecycle::FinishWithinService<Strict>>();
    shared::<lifecycle::DetachService<Strict>>();
    shared::<health::ProbeService>();
    shared::<lifecycle::LifecycleHandle>();
    shared::<lifecycle::PhaseWatch>();
    sent::<in_flight::InFlightToken>();
    sent::<in_flight::InFlightBody<Full<Bytes>>>();
    sent::<gate::DrainGateFuture<Ready<()>, Full<Bytes>>>();
    sent::<lifecycle::FinishWithinFuture<Ready<()>>>();
    sent::<lifecycle::FinishWithinBody<Full<Bytes>>>();
    sent::<lifecycle::DetachFuture<Full<Bytes>, Infallible>>();
    sent::<lifecycle::Lifecycle>();
    sent::<lifecycle::TrackedListener>();
    sent::<lifecycle::TrackedStream>();
}
