//! From the start to the moment when nothing more is served.
//!
//! Floor 5.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::lifecycle::budget::Budget;
use crate::lifecycle::handle::{AtSignal, LifecycleHandle};
use crate::lifecycle::managed::Managed;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::report::ServerOutcome;
use crate::lifecycle::served::{Served, ServerOutput};
use crate::lifecycle::start::{StartGate, open_all};
use crate::lifecycle::unfinished::Unfinished;

/// How the serving ended.
pub(crate) struct Drained {
    pub(crate) signal: AtSignal,
    pub(crate) draining_since: Instant,
    pub(crate) start_error: Option<String>,
    pub(crate) server: ServerOutcome,
    /// What had not ended when its time was over.
    pub(crate) aborted: Vec<Unfinished>,
    /// How many requests had ended by then, and how many the gate had turned away. Who is cut
    /// off ends as well, when the server is dropped, but not by itself.
    pub(crate) ended: u64,
    pub(crate) rejected: u64,
}

/// Runs the server from the first phase to the end of the drain, and drops it then.
pub(crate) async fn serve<F>(
    handle: &LifecycleHandle,
    server: F,
    gates: Vec<StartGate>,
    managed: &[Arc<dyn Managed>],
    budget: &Budget,
) -> Drained
where
    F: Future,
    F::Output: ServerOutput,
{
    let server = pin!(server);
    let mut server = Served::new(server);
    let watch = handle.watch();

    // Starting → Ready, unless a shutdown comes first, or a gate fails, which asks for one.
    let mut start_error = None;
    let start = async {
        tokio::select! {
            biased;
            () = watch.reached(Phase::Settling) => {}
            opened = open_all(gates) => match opened {
                Ok(()) => handle.started(),
                Err(error) => {
                    tracing::error!(%error, "start-up failed");
                    start_error = Some(error);
                    handle.shutdown();
                }
            }
        }
    };
    server.until(start).await;

    // Ready → Settling: somebody asks, or the server has ended by itself.
    server.until(watch.reached(Phase::Settling)).await;
    let signal = handle.begin_shutdown();

    // Settling → Draining. Without a server there is nothing to settle.
    let settled = signal.at + budget.settle();
    server.until(sleep_until(settled)).await;
    // The sockets close while everything is still served. In the other order, whoever connects
    // last of all is told 503 for nothing: one refused connect, and it had gone elsewhere.
    server.until(handle.shut_listeners()).await;
    let draining_since = Instant::now();
    handle.advance(Phase::Draining);
    for part in managed {
        if catch_unwind(AssertUnwindSafe(|| part.drain_begins())).is_err() {
            tracing::error!(name = part.name(), "panicked when the drain began");
        }
    }

    // Draining: what is in flight goes on. The time is the budget's, also where the settle was cut
    // short or closing the sockets took a while.
    let deadline = settled + budget.drain();
    let quiet = timeout_at(deadline, handle.quiet());
    let in_time = server.alongside(quiet).await.is_ok();

    // Draining → Forcing. Tasks are dropped by this phase, so they are named before.
    let mut aborted = Vec::new();
    if !in_time {
        aborted = handle.tasks().list();
        for request in handle.in_flight().requests() {
            tracing::warn!(?request, "the drain's time is over");
        }
        handle.advance(Phase::Forcing);
    }

    // Nothing is in flight, but the last bytes may be in the server's buffers: it ends when
    // they are out. A quarter of the margin is for a server that was told only at the deadline.
    handle.stop();
    let last = deadline + budget.margin() / 4;
    server.until(sleep_until(last)).await;

    // Tasks that somebody spawned meanwhile have until then as well.
    let tasks = timeout_at(last, handle.tasks().idle());
    if in_time && server.alongside(tasks).await.is_err() {
        aborted.extend(handle.tasks().list());
    }
    let server = server.into_outcome();
    let ended = handle.in_flight().ended();
    if !in_time || server == ServerOutcome::Cut {
        aborted.extend(handle.in_flight().requests());
    }
    Drained {
        signal,
        draining_since,
        start_error,
        server,
        aborted,
        ended,
        rejected: watch.rejected(),
    }
}
