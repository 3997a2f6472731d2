//! One instance's life: start, ready, drain, stop; nothing dropped, in time, and a report.
//!
//! ```text
//!            signal                                       nothing in flight,
//!              │                                          or time is over
//! Starting → Ready → Settling ───────→ Draining ─────────────→ Stopping ──────→ Stopped
//!  gates             /ready says no,   socket closed,          locks released,
//!                    all is served,    new requests get 503,   hooks, connections
//!                    `close` hints     the old ones end        closed, report
//!                    ├─ settle ───────┤├─ drain ──────────────┤├─ hooks ────────┤ margin │
//!                    └────────────────── the platform's grace ────────────────────────────┘
//! ```
//!
//! With axum:
//!
//! ```no_run
//! # #[cfg(feature = "axum")]
//! # mod example {
//! use std::process::ExitCode;
//!
//! use axum::{Router, routing::get};
//! use tokio::net::TcpListener;
//! use tower::ServiceBuilder;
//! use tower_handoff::lifecycle::{Lifecycle, Platform};
//!
//! #[tokio::main]
//! async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
//!     let lifecycle = Lifecycle::builder().platform(Platform::detect()).build()?;
//!
//!     let app = Router::new()
//!         .route("/", get(|| async { "hello" }))
//!         .layer(ServiceBuilder::new().layer(lifecycle.layer()))
//!         .merge(lifecycle.probes()); // after the layers: never counted, never turned away
//!
//!     let tcp = TcpListener::bind("127.0.0.1:3000").await?;
//!     let server = axum::serve(lifecycle.listener(tcp), app)
//!         .with_graceful_shutdown(lifecycle.stop_accepting());
//!     Ok(lifecycle.run(server).await.exit_code())
//! }
//! # }
//! ```
//!
//! Any other server does as well: its accept loop takes connections from
//! [`tcp_listener`](LifecycleHandle::tcp_listener), tells each one to end at its
//! [`goodbye`](TrackedStream::goodbye), and ends itself when all have ended.
//!
//! # Why in this order
//! A server that stops accepting at the signal resets the connections that wait in its queue,
//! is still sent requests by load balancers that have not heard of it, and loses those under
//! way on idle keep-alive connections. So: first readiness, then the hint to close, then the
//! queue, then the socket, then the gate, then what is in flight, and the idle connections at
//! last. Socket before gate: a load balancer sends a refused connect elsewhere, but hands a 503 on
//! to its client. Where it stands in front, the settle has to be longer than it needs to look
//! away; `deploy/` in the repository has configurations of nginx and HAProxy under which rolling
//! restarts lose no request.
//!
//! # HTTP/2
//! `axum::serve` can tell its clients only when accepting stops: until then new streams get 503,
//! then comes GOAWAY. A server on hyper-util sends GOAWAY when draining begins.
//!
//! # What is not waited for
//! Sockets after their upgrade (WebSockets): tell them with
//! [`watch().reached(Phase::Draining)`](PhaseWatch::reached), and run them in
//! [`spawn`](LifecycleHandle::spawn) if the drain shall wait. Clients that take an answer in more
//! slowly than the drain's time allows are cut off with the server.

#[cfg(feature = "axum")]
mod axum;
mod budget;
mod builder;
pub(crate) mod check;
mod drain;
mod face;
pub(crate) mod guarded;
pub(crate) mod handle;
mod hook;
mod listener;
pub(crate) mod managed;
pub(crate) mod phase;
mod platform;
mod report;
mod run;
mod served;
mod signal;
mod start;
mod stop;
mod stream;
mod tasks;
pub(crate) mod unfinished;
pub(crate) mod watch;

pub use budget::Budget;
pub use builder::LifecycleBuilder;
pub use check::{BoxFuture, Check, HealthCheck};
pub use handle::{LifecycleHandle, Status};
pub use listener::TrackedListener;
pub use managed::Managed;
pub use phase::Phase;
pub use platform::{GRACE_VARIABLE, Platform, PlatformKind, SETTLE_VARIABLE};
pub use report::{HookOutcome, HookReport, Outcome, Report, ServerOutcome};
pub use run::Lifecycle;
pub use served::ServerOutput;
pub use stream::TrackedStream;
pub use unfinished::{Stage, Unfinished};
pub use watch::{PhaseControl, PhaseWatch};
