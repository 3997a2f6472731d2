//! Requests in flight: how many, which, and when there are none.
//!
//! A request is counted from `call` until its answer's body is dropped, which servers do when it
//! has ended or failed, and when its client goes away; also when its handler panics. The layer works on any `Service<http::Request<_>>` and boxes nothing.
//!
//! It goes outermost. Whatever lies outside it (a buffer, a concurrency limit, a compression) may
//! hold requests and bytes that it cannot see.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_handoff::in_flight::{InFlight, InFlightLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), std::convert::Infallible> {
//! let in_flight = InFlight::new();
//! let service = ServiceBuilder::new()
//!     .layer(InFlightLayer::new(in_flight.clone()))
//!     .service(service_fn(|_: Request<()>| async {
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//!     }));
//!
//! let response = service.oneshot(Request::new(())).await?;
//! assert_eq!(in_flight.count(), 1); // the head is here, the body is not
//! response.into_body().collect().await?;
//! in_flight.idle().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What the count does not see
//! A server drops a body once it has taken the last piece into its buffer, so zero in flight is
//! not yet every byte sent; and a connection that was upgraded (WebSocket) leaves the count with
//! the head of its 101 answer. Both are seen on the connections of a
//! [`TrackedListener`](crate::lifecycle::TrackedListener), and
//! [`Lifecycle::run`](crate::lifecycle::Lifecycle::run) waits for them and for the server.

mod body;
mod future;
pub(crate) mod layer;
pub(crate) mod oldest;
mod request_id;
pub(crate) mod requests;
mod service;
mod slab;
mod sync;
pub(crate) mod tracker;

pub use crate::route::RouteName;
pub use body::InFlightBody;
pub use future::InFlightFuture;
pub use layer::InFlightLayer;
pub use requests::{InFlight, InFlightToken};
pub use service::InFlightService;
