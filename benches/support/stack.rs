//! The layers, alone and all together, around a service that answers at once; requests leave
//! every layer untouched: they carry a session cookie that nobody reads, and `GET` locks nothing.

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceBuilder, service_fn};
use tower_handoff::{
    DrainGateLayer, InFlight, InFlightLayer, LockLayer, MemoryLocks, MemorySessions, PhaseControl,
    SessionLayer, key,
};

/// Names of what [`tower_stack`] builds.
pub(crate) const LAYERS: [&str; 6] = [
    "bare",
    "in flight",
    "drain gate",
    "session",
    "lock",
    "all four",
];

/// One request through a service, polled by hand: no runtime between the figures.
pub(crate) trait Requests {
    fn request(&mut self);
}

struct Driven<S> {
    service: S,
}

fn driven<S, R>(service: S) -> Box<dyn Requests>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + 'static,
    R: http_body::Body<Data = Bytes>,
{
    Box::new(Driven { service })
}

impl<S, R> Requests for Driven<S>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
    R: http_body::Body<Data = Bytes>,
{
    fn request(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let request = Request::builder()
            .uri("/orders/7/pay")
            .header(header::COOKIE, COOKIE)
            .body(Body::empty())
            .expect("a well-formed request");
        assert!(matches!(
            self.service.poll_ready(&mut cx),
            Poll::Ready(Ok(()))
        ));
        let mut future = pin!(self.service.call(request));
        let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else {
            panic!("the service answers at once");
        };
        assert!(response.status().is_success());
        let mut body = pin!(response.into_body().collect());
        assert!(matches!(body.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    }
}

/// Well-formed, and nobody's.
const COOKIE: &str = "__Host-session=1AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn in_flight() -> InFlightLayer {
    InFlightLayer::new(InFlight::new())
}

fn drain_gate() -> DrainGateLayer {
    DrainGateLayer::new(PhaseControl::new().watch())
}

fn session() -> SessionLayer {
    SessionLayer::new(MemorySessions::new())
}

fn lock() -> LockLayer {
    LockLayer::new(MemoryLocks::new(), key::header(header::HOST))
}

/// The layers around a bare tower service.
pub(crate) fn tower_stack(name: &str) -> Box<dyn Requests> {
    let bare = service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
    });
    match name {
        "bare" => driven(bare),
        "in flight" => driven(in_flight().layer(bare)),
        "drain gate" => driven(drain_gate().layer(bare)),
        "session" => driven(session().layer(bare)),
        "lock" => driven(lock().layer(bare)),
        "all four" => {
            driven(in_flight().layer(drain_gate().layer(session().layer(lock().layer(bare)))))
        }
        _ => panic!("{name} is none of {LAYERS:?}"),
    }
}

/// A layer that does nothing, to tell what axum itself takes for one.
#[derive(Clone)]
pub(crate) struct NoOp<S>(S);

impl<S: Service<R>, R> Service<R> for NoOp<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.0.call(request)
    }
}

#[derive(Clone)]
struct NoOpLayer;

impl<S> Layer<S> for NoOpLayer {
    type Service = NoOp<S>;

    fn layer(&self, inner: S) -> NoOp<S> {
        NoOp(inner)
    }
}

/// Names of what [`axum_stack`] builds.
pub(crate) const IN_AXUM: [&str; 7] = [
    "bare",
    "four no-ops",
    "in flight",
    "drain gate",
    "session",
    "lock",
    "all four",
];

/// The README's arrangement in axum: three layers around the router and one around the route,
/// each the real one or one that does nothing.
pub(crate) fn axum_stack(name: &str) -> Box<dyn Requests> {
    assert!(IN_AXUM.contains(&name), "{name} is none of {IN_AXUM:?}");
    let real = |layer| name == layer || name == "all four";
    let handler = get(|| async { "ok" });
    if name == "bare" {
        return driven(Router::new().route(ROUTE, handler).with_state::<()>(()));
    }
    let handler = if real("lock") {
        handler.layer(LockLayer::new(MemoryLocks::new(), key::path("order:{id}")))
    } else {
        handler.layer(NoOpLayer)
    };
    let router = Router::new().route(ROUTE, handler);
    let router = match (real("in flight"), real("drain gate"), real("session")) {
        (true, true, true) => router.layer(
            ServiceBuilder::new()
                .layer(in_flight())
                .layer(drain_gate())
                .layer(session()),
        ),
        (true, ..) => router.layer(
            ServiceBuilder::new()
                .layer(in_flight())
                .layer(NoOpLayer)
                .layer(NoOpLayer),
        ),
        (_, true, _) => router.layer(
            ServiceBuilder::new()
                .layer(NoOpLayer)
                .layer(drain_gate())
                .layer(NoOpLayer),
        ),
        (_, _, true) => router.layer(
            ServiceBuilder::new()
                .layer(NoOpLayer)
                .layer(NoOpLayer)
                .layer(session()),
        ),
        _ => router.layer(
            ServiceBuilder::new()
                .layer(NoOpLayer)
                .layer(NoOpLayer)
                .layer(NoOpLayer),
        ),
    };
    // As `axum::serve` does: or the route's layer is put on anew for every request.
    driven(router.with_state::<()>(()))
}

const ROUTE: &str = "/orders/{id}/pay";
