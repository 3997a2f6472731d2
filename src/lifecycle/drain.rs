//! From the start to the moment when nothing more is served.
//!
//! Floor 5.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::lifecycle::budget::Budget;
use crate::lifecycle::half_time::name_who_is_late;
use crate::lifecycle::handle::{AtSignal, LifecycleHandle};
use crate::lifecycle::managed::Managed;
use crate::lifecycle::manager::ServiceManager;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::report::ServerOutcome;
use crate::lifecycle::served::{Served, ServerOutput};
use crate::lifecycle::start::{StartGate, open_all};
use crate::lifecycle::unfinished::{MOST_NAMED, Unfinished};
use crate::telemetry::drain_marks::Cut;
use crate::telemetry::names::{InstanceStarts, TasksAborted};
use crate::telemetry::record::{add, count};

/// How the serving ended.
pub(crate) struct Drained {
    pub(crate) signal: AtSignal,
    pub(crate) draining_since: Instant,
    pub(crate) start_error: Option<String>,
    pub(crate) server: ServerOutcome,
    /// Something was cut off: what was under way, or the server.
    pub(crate) forced: bool,
    /// What had not ended when its time was over.
    pub(crate) aborted: Vec<Unfinished>,
    /// Heads that had not come whole when the server was told to stop.
    pub(crate) heads: Vec<Unfinished>,
    /// How many requests had ended by then, and how many the gate had turned away. Who is cut
    /// off ends as well, when the server is dropped, but not by itself.
    pub(crate) ended: u64,
    pub(crate) rejected: u64,
    /// And how many their routes had given no more of the drain.
    pub(crate) overran: u64,
}

/// Runs the server from the first phase to the end of the drain, and drops it then.
pub(crate) async fn serve<F>(
    handle: &LifecycleHandle,
    server: F,
    gates: Vec<StartGate>,
    managed: &[Arc<dyn Managed>],
    budget: &Budget,
    manager: &ServiceManager,
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
                Ok(()) => {
                    count(InstanceStarts::Ready);
                    handle.started();
                }
                Err(error) => {
                    tracing::error!(%error, "start-up failed");
                    count(InstanceStarts::Failed);
                    start_error = Some(error);
                    handle.shutdown();
                }
            }
        }
    };
    server.until(start).await;
    if handle.has_started() {
        // A shutdown does not wait for a manager that takes nothing in.
        tokio::select! {
            biased;
            () = tell(handle, &mut server, manager, Phase::Ready, budget) => {}
            () = watch.reached(Phase::Settling) => {}
        }
    }

    // Ready → Settling: somebody asks, or the server has ended by itself.
    server.until(watch.reached(Phase::Settling)).await;
    let signal = handle.begin_shutdown();
    tell(handle, &mut server, manager, Phase::Settling, budget).await;

    // Settling → Draining. Without a server there is nothing to settle.
    let settled = signal.at + budget.settle();
    let deadline = settled + budget.drain();
    // A quarter of the drain is left for the server to end.
    let linger_until = settled + budget.drain() * 3 / 4;
    let _ = handle.connections().linger_until.set(linger_until);
    server.until(sleep_until(settled)).await;
    // The sockets close while everything is still served. In the other order, whoever connects
    // last of all is told 503 for nothing: one refused connect, and it had gone elsewhere. An
    // accept loop may run beside the server, so this is also for one that has ended.
    handle.shut();
    let last = settled + budget.drain() / 2;
    server.alongside(handle.taken_in(last)).await;
    let draining_since = Instant::now();
    handle.drain_marks().drain_begins();
    handle.advance(Phase::Draining);
    for part in managed {
        if catch_unwind(AssertUnwindSafe(|| part.drain_begins())).is_err() {
            tracing::error!(name = part.name(), "panicked when the drain began");
        }
    }
    tell(handle, &mut server, manager, Phase::Draining, budget).await;

    // Draining: what is in flight goes on. The time is the budget's, also where the settle was cut
    // short or closing the sockets took a while.
    let mut quiet = pin!(handle.quiet_with_heads(linger_until));
    let half = draining_since + deadline.saturating_duration_since(draining_since) / 2;
    let mut in_time = timely(&mut server, half, quiet.as_mut()).await.is_ok();
    let in_half = in_time;
    if !in_half {
        name_who_is_late(handle, deadline);
        in_time = timely(&mut server, linger_until, quiet.as_mut())
            .await
            .is_ok();
    }
    if !in_time {
        for part in managed {
            if catch_unwind(AssertUnwindSafe(|| part.drain_ends_soon())).is_err() {
                tracing::error!(
                    name = part.name(),
                    "panicked when the drain was about to end"
                );
            }
        }
        in_time = timely(&mut server, deadline, quiet).await.is_ok();
    }
    let farewell = deadline + FAREWELL.min(budget.margin() / 8);
    // A server may end them as soon as it is told.
    let heads = handle.connections().heads(MOST_NAMED);
    if in_time {
        // Nothing is in flight, but the last bytes may be in the server's buffers: it ends when
        // they are out, for which it has a moment also where the time is over. What began
        // meanwhile, a task or a socket, has the time that there was.
        handle.stop();
        let mut parted = pin!(async {
            handle.parted(deadline).await;
            sleep_until(farewell).await;
        });
        let mut over = false;
        if in_half {
            let in_half = timeout_at(half, parted.as_mut());
            server.until(async { over = in_half.await.is_ok() }).await;
            if server.outcome() == ServerOutcome::Cut {
                name_who_is_late(handle, deadline);
            }
        }
        if !over {
            server.until(parted).await;
        }
        // Also where the server has ended, and left its connections to others.
        handle.connections().give_up();
        in_time = timely(&mut server, deadline, handle.quiet()).await.is_ok()
            && server.outcome() != ServerOutcome::Cut;
    }
    let mut drained = Drained {
        signal,
        draining_since,
        start_error,
        server: server.outcome(),
        forced: !in_time,
        aborted: Vec::new(),
        heads,
        ended: handle.in_flight().ended(),
        rejected: watch.rejected(),
        overran: watch.overran(),
    };
    if !in_time {
        let last = deadline + budget.margin() / 4;
        force(handle, &mut server, &mut drained, farewell, last).await;
    }
    handle.drain_marks().drain_ends();
    drained
}

/// Waits for `event` until `last`, with the server going on.
async fn timely<F>(
    server: &mut Served<'_, F>,
    last: Instant,
    event: impl Future<Output = ()>,
) -> Result<(), Elapsed>
where
    F: Future,
    F::Output: ServerOutput,
{
    server.alongside(timeout_at(last, event)).await
}

async fn tell<F>(
    handle: &LifecycleHandle,
    server: &mut Served<'_, F>,
    manager: &ServiceManager,
    phase: Phase,
    budget: &Budget,
) where
    F: Future,
    F::Output: ServerOutput,
{
    let telling = manager.tell(phase, handle.in_flight().count(), budget);
    server.alongside(telling).await;
}

/// Names what has not ended, and cuts it off: tasks at their next await, connections wherever
/// they are, `farewell` being the last moment for what ends by itself. A server that does not end
/// of it by `last` is dropped by who called.
async fn force<F>(
    handle: &LifecycleHandle,
    server: &mut Served<'_, F>,
    drained: &mut Drained,
    farewell: Instant,
    last: Instant,
) where
    F: Future,
    F::Output: ServerOutput,
{
    // Tasks are dropped by this phase, and listed until the next.
    handle.advance(Phase::Forcing);
    // Connections without a request close on their own; HTTP/2 needs a moment for its GOAWAY.
    handle.stop();
    let gone = timeout_at(farewell, handle.connections().without_http2());
    let _ = server.alongside(gone).await;

    // Who is cut off ends as well, but not by itself: so do those whose handlers went with their tasks.
    let cut_short = handle.watch().cut_short();
    drained.ended = handle.in_flight().ended().saturating_sub(cut_short);
    drained.rejected = handle.watch().rejected();
    drained.overran = handle.watch().overran();
    // Read before the tasks: a request turns into a task, never the other way round.
    let in_flight = handle.in_flight().count();
    handle.drain_marks().cut_off(Cut {
        served: drained
            .ended
            .saturating_sub(drained.rejected + drained.overran),
        aborted: in_flight + cut_short,
    });
    let connections = handle.connections();
    let tasks = handle.tasks().count();
    let all = in_flight + tasks + connections.busy_count() + connections.http2_count();
    // No more than are named: strangers decide how many there are, and time is short.
    drained.aborted = handle.tasks().list(MOST_NAMED);
    drained
        .aborted
        .extend(handle.in_flight().oldest_requests(MOST_NAMED));
    drained.aborted.extend(connections.busy(MOST_NAMED));
    drained.aborted.extend(connections.http2(MOST_NAMED));
    // First, because a thousand lines take their time.
    connections.cut();
    add(
        TasksAborted::All,
        usize::try_from(tasks).unwrap_or(usize::MAX),
    );
    // Not every request is listed.
    drained.forced = all > 0 || !drained.aborted.is_empty();
    drained.aborted.truncate(MOST_NAMED);
    let more = all.saturating_sub(drained.aborted.len() as u64);
    for unfinished in &drained.aborted {
        tracing::warn!(?unfinished, "the drain's time is over");
    }
    if more > 0 {
        tracing::warn!(
            more,
            "the drain's time is over for others that are not named"
        );
    }

    // For the server, and for who holds an upgraded socket, to wind up.
    server.until(sleep_until(last)).await;
    let _ = server.alongside(timeout_at(last, connections.idle())).await;
    drained.server = server.outcome();
    drained.forced |= drained.server == ServerOutcome::Cut;
}

/// How long the server has after the deadline to end by itself, and to tell those of HTTP/2.
const FAREWELL: Duration = Duration::from_millis(50);
