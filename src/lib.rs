//! Tower layers that let an instance hand its work to the next one and lose nothing.
//!
//! Instances come and go: autoscalers start them, rollouts stop them, spot markets take them.
//! No sockets are passed from one to the next; an instance finishes, saves and releases what it
//! holds:
//!
//! - [`session`]: sessions in Redis, so the next request may land on any instance;
//! - [`lock`]: one request at a time through the whole fleet, free again at once;
//! - [`once`]: a job that one instance runs, and the others skip or read the result of;
//! - [`drain_gate`] and [`health`]: new work is turned away at the right moment, not earlier;
//! - [`in_flight`] and [`lifecycle`]: the exit waits for the last request, or for the platform's
//!   patience to end, and then says exactly what was cut off;
//! - [`redis`]: the one supervised connection beneath sessions and locks.
//!
//! Each layer works alone, on any `tower::Service` over [`http`]. Together, in axum:
//!
//! ```no_run
//! # #[cfg(all(feature = "axum", feature = "redis"))]
//! # mod example {
//! # use axum::{Router, routing::post};
//! # use tower::ServiceBuilder;
//! # use tower_handoff::{Lifecycle, LockLayer, Platform, RedisHandle, SessionLayer, key};
//! # async fn pay() {}
//! # async fn serve(tcp: tokio::net::TcpListener) -> Result<std::process::ExitCode, tower_handoff::BoxError> {
//! let redis = RedisHandle::connect("redis://127.0.0.1:6379")?;          // never blocks start-up
//! let lifecycle = Lifecycle::builder().platform(Platform::detect()).manage(redis.clone()).build()?;
//!
//! let app = Router::new()
//!     .route("/orders/{id}/pay", post(pay).layer(LockLayer::new(redis.locks(), key::path("order:{id}"))))
//!     .layer(ServiceBuilder::new().layer(lifecycle.layer()).layer(SessionLayer::new(redis.sessions())))
//!     .merge(lifecycle.probes());                                         // after the layers: in no session, never counted
//!
//! let server = axum::serve(lifecycle.listener(tcp), app).with_graceful_shutdown(lifecycle.stop_accepting());
//! Ok(lifecycle.run(server).await.exit_code())                             // signals, phases, hooks, report
//! # }
//! # }
//! ```
//!
//! Without Redis: [`MemorySessions`] and [`MemoryLocks`] in place of `redis.sessions()` and
//! `redis.locks()`; nothing else changes.
//!
//! # The order of the layers
//! Outermost first: in flight, drain gate, session, lock, handler. A request is counted before
//! the phase is read, so the drain can never see zero and miss one. A lock's key may come from
//! the session, and the session is saved after the lock's handler. Commits and releases count as
//! work in flight. `lifecycle.layer()` is the first two.
//!
//! # Answers, not errors
//! A layer that refuses answers with a response (`application/problem+json`) and leaves the
//! service's error type alone; the typed [`Refusal`] is in the response's extensions.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! | --- | --- | --- |
//! | `redis` | yes | `RedisHandle`, sessions and locks in Redis |
//! | `axum` | yes | extractors, matched routes, path keys, the listener for `axum::serve`, `probes()` as a router |
//! | `metrics` | no | metrics on the `metrics` facade: `telemetry` |
//! | `sentinel` | no | `redis-sentinel://`: the master by its name, fail-overs followed |
//! | `cluster` | no | `redis-cluster://`: [Redis Cluster](crate::redis#redis-cluster) |
//! | `tls-rustls` | no | `rediss://`: TLS to Redis by rustls with ring, ten more crates on Linux |
//! | `testing` | no | contract suites for stores and lock backends of your own, a session store that fails on demand |
//!
//! Features add; none changes what another one does. MSRV 1.88.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod codec;
mod config;
mod error;
mod instance;
mod random;
mod reason;
mod route;

pub mod drain_gate;
pub mod health;
pub mod in_flight;
pub mod lifecycle;
pub mod lock;
pub mod once;
#[cfg(feature = "redis")]
pub mod redis;
pub mod session;
#[cfg(feature = "metrics")]
pub mod telemetry;
#[cfg(not(feature = "metrics"))]
mod telemetry;

pub use answer::{AnswerBody, Refusal, Responder};
pub use config::ConfigError;
pub use drain_gate::DrainGateLayer;
pub use error::BoxError;
pub use health::{HealthCheck, ProbeService};
pub use in_flight::{InFlight, InFlightLayer};
pub use lifecycle::{Lifecycle, Managed, Phase, PhaseControl, PhaseWatch, Platform};
pub use lock::{LockGuard, LockLayer, Locks, MemoryLocks, key};
pub use once::{MemoryOnce, Once};
pub use reason::Reason;
#[cfg(feature = "redis")]
pub use redis::RedisHandle;
pub use session::{MemorySessions, Session, SessionLayer};

/// The README's ten lines, compiled.
#[cfg(all(doctest, feature = "axum", feature = "redis"))]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct ReadmeDoctests;
