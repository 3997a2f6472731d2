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
//! tonic's services need no more than `axum::serve`, through `Routes::into_axum_router`. Its own
//! `Server` takes connections that implement its `Connected`, so there it needs a newtype around
//! [`TrackedStream`] as well: `examples/tonic.rs` in the repository. With either, calls that are
//! under way come to their end, and tonic's client has `UNAVAILABLE` of one that comes while
//! draining: at once, or in place of a stream's first answer. Who watches `grpc.health.v1` hears of the
//! settle from the application, which also has to end the watches when draining begins: the example
//! has that in ten lines.
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
//! # Which does what in each phase
//! | | `Starting` | `Ready` | `Settling` | `Draining` | `Forcing`, where time runs out | `Stopping` |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | probes: `/health` is 200 throughout | `/ready` and `/startup` 503 | `/ready` as the checks say; `/startup` 200 from here on | `/ready` 503 | 503 | 503 | 503 |
//! | listener | open | open | open, and closed in the end | closed | closed | closed |
//! | gate on HTTP/1 | lets in | lets in | lets in, `Connection: close` | 503, `Connection: close` | 503 | 503 |
//! | gate on HTTP/2 | lets in | lets in | lets in | 503; GOAWAY is the server's | 503 | 503 |
//! | in flight | counted | counted | counted | waited for; `finish_within` counts from here | named, and cut off | over |
//! | streams, sockets, `spawn` | go on | go on | go on | are told, and waited for | named, and cut off | dropped at once |
//! | sessions | read, written | read, written | read, written | read, written | written where the request still ends | commits and log-outs under way are waited for, by a managed `RedisHandle` or `SessionLayer::commits` |
//! | locks | granted, renewed | granted, renewed | granted, renewed | granted until a quarter of it is left; renewed | renewed | let go; none granted |
//! | hooks | `on_start` | | | | | flushes, `on_shutdown`, then connections close |
//!
//! # HTTP/2
//! `axum::serve` can tell its clients only when accepting stops: until then new streams get 503,
//! then comes GOAWAY. A server on hyper-util sends GOAWAY when the settle is over, by
//! [`goodbye`](TrackedStream::goodbye), and the gate shuts when those connections have ended, or half a
//! second later: what was sent before GOAWAY came is served. So serve gRPC, and HTTP/2 without a proxy
//! that tries again, from such a loop.
//!
//! # Connections
//! On connections from these listeners (or [wrapped](LifecycleHandle::wrap_io)) the drain also
//! waits for answers that their clients have not taken in, and for sockets that were upgraded. What
//! is left at the deadline is named in the report, with its peer, and ended: its reads and writes
//! fail. Keep-alive connections without a request are waited for by nobody, nor is one of HTTP/2
//! that has asked for nothing. HTTP/2 is the server's to end otherwise, and is cut off when it has not
//! in time; a WebSocket over HTTP/2 is one of its streams.
//!
//! A head that is not whole when the settle ends may come whole: for half a second the gate stays open
//! for it, and until a second after all else is over, in the drain's last quarter not at all, it is
//! answered, with the gate's 503. Then its connection ends, and the report names it among [`unfinished_heads`](Report::unfinished_heads).
//! Nothing was cut off by that, as no handler has heard of it; who counted it as cut off would let one
//! byte of a stranger hold every rollout to its deadline. A body that is not whole is part of a request
//! that is in flight.
//!
//! # The log
//! Each phase is an event of `tracing` when it begins (level info): its name, that of the `previous`
//! one and how long that `took`, requests `in_flight`, and what is `left` of the grace once the
//! shutdown was asked for. A phase is no span: most of the work that it covers began before it and
//! ends after it. Flushes and hooks, which are the last one's own, run in spans `lifecycle.hook` (level
//! debug) with their `name`.
//!
//! # systemd is told
//! Where `NOTIFY_SOCKET` is set, [`run`](Lifecycle::run) sends what `sd_notify(3)` describes:
//! `READY=1` when all start-up gates are open, `STOPPING=1` when the shutdown begins, with the
//! grace as `EXTEND_TIMEOUT_USEC`, and `STATUS` with each phase. So units are `Type=notify`; a
//! socket that cannot be told is logged and nothing more.
//!
//! # Streams and sockets are told
//! An answer without an end ends well with [`until_drain`](PhaseWatch::until_drain). A WebSocket
//! says goodbye (1001, going away) when draining begins, and hears its client's, with
//! [`close_at_drain`](PhaseWatch::close_at_drain):
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # mod example {
//! use std::time::Duration;
//!
//! use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
//! use futures_util::{SinkExt, StreamExt};
//! use tower_handoff::lifecycle::PhaseWatch;
//!
//! async fn echo(socket: WebSocket, watch: PhaseWatch) -> Result<(), axum::Error> {
//!     let goodbye = CloseFrame { code: close_code::AWAY, reason: "draining".into() };
//!     let goodbye = Message::Close(Some(goodbye));
//!     let mut socket = watch.close_at_drain(socket, goodbye, Duration::from_secs(5));
//!     while let Some(message) = socket.next().await {
//!         match message? {
//!             // Its answer goes out with the next next(), which then finds the end.
//!             Message::Close(_) => {}
//!             message => socket.send(message).await?,
//!         }
//!     }
//!     Ok(())
//! }
//! # }
//! ```
//!
//! What nobody ends goes on until the drain's end cuts it off, and all else waits for it. So routes
//! with such work may be given a share of the drain:
//! [`Lifecycle::finish_within`](crate::lifecycle::Lifecycle::finish_within).
//!
//! Handlers get the watch from where they get the rest: axum's `State` or
//! `Extension(lifecycle.watch())`, a closure; or, on whatever service, from the request's extensions,
//! where [`LifecycleBuilder::show_watch`] has [`Lifecycle::layer`] put it.

mod asks;
#[cfg(feature = "axum")]
mod axum;
mod blank_line;
mod budget;
mod builder;
pub(crate) mod check;
mod close_at_drain;
mod conduct;
mod connections;
mod detach;
mod drain;
mod face;
mod finish;
mod frames;
mod fresh;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "metrics")]
mod gauges;
pub(crate) mod guarded;
mod half_time;
pub(crate) mod handle;
mod hook;
mod linger;
mod listener;
pub(crate) mod managed;
mod manager;
pub(crate) mod phase;
mod phase_log;
mod platform;
mod report;
mod run;
mod served;
mod signal;
mod start;
mod stop;
mod stream;
mod sync;
mod talk;
mod tasks;
pub(crate) mod unfinished;
mod until_drain;
mod waits;
pub(crate) mod watch;

pub use budget::Budget;
pub use builder::LifecycleBuilder;
pub use check::{BoxFuture, Check, HealthCheck};
pub use close_at_drain::CloseAtDrain;
pub use detach::{DetachFuture, DetachLayer, DetachService};
pub use finish::{
    FinishWithinBody, FinishWithinFuture, FinishWithinLayer, FinishWithinService, Overrun,
};
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
pub use until_drain::UntilDrain;
pub use watch::{PhaseControl, PhaseWatch};
