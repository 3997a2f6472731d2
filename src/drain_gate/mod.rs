//! The gate that shuts when the instance drains.
//!
//! | phase | a request that comes | its answer on HTTP/1 |
//! | --- | --- | --- |
//! | before `Settling` | is let in | untouched |
//! | `Settling` | is let in | `Connection: close` |
//! | from `Draining` on | gets 503 + `Retry-After` | `Connection: close`, also for those let in before |
//!
//! `Connection: close` is what makes a client look for another connection *before* it sends its
//! next request; a server that just closes idle connections loses the requests that are on
//! their way. On HTTP/2 the header does not exist, so it is not sent; nor is the refusal's body,
//! which would hold the drain where its client has no room for it.
//!
//! gRPC clients take 503 for `UNAVAILABLE`. A service of hyper's own (axum's answers have no errors) can
//! say by HTTP/2's `REFUSED_STREAM` that nothing was done, so that a client sends the request again
//! whatever its method: outside the gate it turns an answer with a [`Refusal`](crate::Refusal) for
//! [`Reason::Draining`](crate::Reason::Draining) in its extensions into
//! `Err(h2::Error::from(h2::Reason::REFUSED_STREAM))`, which hyper sends as that.
//!
//! Let in, a request costs two atomic loads, and nothing is boxed or allocated.
//!
//! The gate goes inside the in-flight layer: a request must be counted before the gate reads
//! the phase, or it could slip in after the drain has seen zero.
//! [`Lifecycle::layer`](crate::lifecycle::Lifecycle::layer) puts both in order. It does not
//! load-shed: a gate has no opinion about how busy the instance is.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_handoff::drain_gate::DrainGateLayer;
//! use tower_handoff::lifecycle::{Phase, PhaseControl};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), std::convert::Infallible> {
//! let phases = PhaseControl::new();
//! let mut service = ServiceBuilder::new()
//!     .layer(DrainGateLayer::new(phases.watch()))
//!     .service(service_fn(|_: Request<()>| async {
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//!     }));
//!
//! assert_eq!(service.ready().await?.call(Request::new(())).await?.status(), StatusCode::OK);
//! phases.advance(Phase::Draining);
//! let turned_away = service.ready().await?.call(Request::new(())).await?;
//! assert_eq!(turned_away.status(), StatusCode::SERVICE_UNAVAILABLE);
//! assert_eq!(turned_away.headers()["connection"], "close");
//! # Ok(())
//! # }
//! ```

mod future;
pub(crate) mod layer;
mod service;

pub use future::DrainGateFuture;
pub use layer::DrainGateLayer;
pub use service::DrainGateService;
