//! `Lifecycle`: what `main` holds.
//!
//! Floor 5.

use std::fmt;
use std::future::IntoFuture;
use std::ops::Deref;
use std::sync::Arc;

use http::HeaderName;
use tokio::time::Instant;

use crate::health::monitor::Monitor;
use crate::lifecycle::budget::Budget;
use crate::lifecycle::drain::serve;
use crate::lifecycle::handle::LifecycleHandle;
use crate::lifecycle::hook::{Hook, close_all, run_all};
use crate::lifecycle::managed::Managed;
use crate::lifecycle::manager::ServiceManager;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::platform::Platform;
use crate::lifecycle::report::{HookOutcome, Outcome, Report};
use crate::lifecycle::served::ServerOutput;
use crate::lifecycle::signal::watch_signals;
use crate::lifecycle::start::StartGate;
use crate::telemetry::names::GraceSeconds;
use crate::telemetry::record::set;

/// One instance's life, from start to exit. See the [module](crate::lifecycle).
///
/// Everything that a [`LifecycleHandle`] does can be called on it directly.
pub struct Lifecycle {
    pub(crate) handle: LifecycleHandle,
    pub(crate) monitor: Monitor,
    pub(crate) report_paths: bool,
    pub(crate) request_id_header: Option<&'static HeaderName>,
    pub(crate) show_watch: bool,
    pub(crate) parts: Parts,
}

/// What only `run` needs.
pub(crate) struct Parts {
    pub(crate) platform: Platform,
    pub(crate) budget: Budget,
    pub(crate) managed: Vec<Arc<dyn Managed>>,
    pub(crate) gates: Vec<StartGate>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) signals: bool,
}

impl Lifecycle {
    /// What handlers and tasks hold.
    #[must_use]
    pub fn handle(&self) -> LifecycleHandle {
        self.handle.clone()
    }

    /// How the grace period is divided.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.parts.budget
    }

    /// Runs the server until the instance has come to its end, and says how that went.
    ///
    /// Watches SIGTERM and SIGINT from its first poll on. Before that they end the process, or, as
    /// the kernel has it, are lost where it is the first of its container (PID 1 without an init in
    /// front): then it runs on until it is killed. So what takes its time, a migration, a cache to
    /// fill, goes into [`on_start`](crate::lifecycle::LifecycleBuilder::on_start) and not before
    /// `run`. The first one begins the shutdown; **the second ends the process at once with code 130**,
    /// without hooks and report. What follows the first within a second is the same request: platforms
    /// and wrappers send theirs twice. So a `preStop` of Kubernetes that signals by itself (`kill -TERM 1;
    /// sleep 15`) makes the kubelet's own the second: let it just `sleep`, or ask by
    /// [`pre_stop`](Self::pre_stop). Only signals count for that, so one that follows a
    /// [`shutdown`](LifecycleHandle::shutdown) by code is still a first one.
    ///
    /// A thread of its own hears them, one a process, from the first `run` on until the process ends:
    /// so the second one works though handlers block every worker of the runtime, and also when `run`
    /// has returned or was dropped, where something that blocks keeps the runtime from ending. Where
    /// `run` heard none, the one that comes after it is a first one and changes nothing: a service
    /// manager sends its own also to what was stopped by another way and is about to end. A `run` that
    /// begins after it goes straight to its shutdown. Of several
    /// lifecycles in a process, the first signal reaches all that run. The thread does not come along
    /// into a child that is forked after a first `run`: such a child is to `exec`, and not to run a
    /// lifecycle.
    ///
    /// The server ends by itself when [`stop_accepting`](LifecycleHandle::stop_accepting)
    /// resolves. One that ends earlier, well or with an error, begins the shutdown. One that does
    /// not end in time is dropped before the hooks run, and the report says so. Requests that are
    /// cut off are left to the process's end: do return from `main`.
    ///
    /// Work that blocks a thread cannot be cut off, and a runtime that is dropped waits for it, so
    /// returning from `main` may take longer than the grace. Where handlers block, in
    /// `spawn_blocking` for instance, end with
    /// `std::process::exit(report.`[`exit_status()`](Report::exit_status)`.into())`.
    ///
    /// # Cancel safety
    /// Not to be dropped before its end. If it is, the instance is given up: the server is
    /// dropped, the phase becomes `Stopped`, so the gate turns all requests away and tasks of
    /// [`spawn`](LifecycleHandle::spawn) are dropped; hooks that have not run never will. A panic
    /// of the server's own future does the same and goes on to the caller.
    ///
    /// # Panics
    /// Outside a tokio runtime with time and I/O.
    pub async fn run<S>(self, server: S) -> Report
    where
        S: IntoFuture,
        S::Output: ServerOutput,
    {
        let Self {
            handle,
            monitor,
            report_paths: _,
            request_id_header: _,
            show_watch: _,
            parts:
                Parts {
                    platform,
                    budget,
                    managed,
                    gates,
                    hooks,
                    signals,
                },
        } = self;
        tracing::info!(
            platform = %platform.kind(),
            grace = ?budget.grace(),
            settle = ?budget.settle(),
            drain = ?budget.drain(),
            hooks = ?budget.hooks(),
            margin = ?budget.margin(),
            instance = handle.instance_id(),
            "starting"
        );
        set(GraceSeconds::Whole, budget.grace().as_secs_f64());
        let _stopped = StoppedOnDrop(&handle);
        let _checks = monitor.start();
        let _signals = signals.then(|| {
            let handle = handle.clone();
            watch_signals(move || handle.shutdown())
        });

        let manager = ServiceManager::connect(platform.notify());
        let server = server.into_future();
        let drained = serve(&handle, server, gates, &managed, &budget, &manager).await;

        // Also after a forced end: this is the time that the drain could not eat.
        let stopping_since = Instant::now();
        handle.advance(Phase::Stopping);
        // Before the hooks, one of which may flush an exporter.
        #[cfg(feature = "metrics")]
        handle.record_metrics();
        manager.tell(Phase::Stopping, 0, &budget).await;
        let hooks = run_all(&managed, hooks, budget.hooks()).await;
        close_all(&managed, Instant::now() + budget.margin() / 4).await;

        let cut_off = drained.forced
            || hooks
                .iter()
                .any(|hook| hook.outcome == HookOutcome::TimedOut);
        let report = Report {
            outcome: if cut_off {
                Outcome::Forced
            } else {
                Outcome::Clean
            },
            in_flight_at_signal: drained.signal.in_flight,
            completed: drained
                .ended
                .saturating_sub(drained.signal.ended + drained.rejected + drained.overran),
            rejected: drained.rejected,
            overran: drained.overran,
            upgraded: drained.signal.upgraded,
            tasks: drained.signal.tasks,
            aborted: drained.aborted,
            unfinished_heads: drained.heads,
            hooks,
            server: drained.server,
            start_error: drained.start_error,
            settling: drained.draining_since - drained.signal.at,
            draining: stopping_since - drained.draining_since,
            stopping: stopping_since.elapsed(),
            took: drained.signal.at.elapsed(),
        };
        #[cfg(feature = "metrics")]
        handle.record_metrics();
        tracing::info!(?report, "stopped");
        report
    }
}

impl Deref for Lifecycle {
    type Target = LifecycleHandle;

    fn deref(&self) -> &LifecycleHandle {
        &self.handle
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle")
            .field("handle", &self.handle)
            .field("budget", &self.parts.budget)
            .finish_non_exhaustive()
    }
}

/// However `run` ends, the instance has stopped.
struct StoppedOnDrop<'a>(&'a LifecycleHandle);

impl Drop for StoppedOnDrop<'_> {
    fn drop(&mut self) {
        self.0.advance(Phase::Stopped);
        self.0.shut();
        self.0.stop();
        self.0.connections().cut();
    }
}
