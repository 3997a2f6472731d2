//! What runs at the end.
//!
//! Floor 3.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use crate::BoxError;
use crate::lifecycle::check::BoxFuture;
use crate::lifecycle::guarded::{Ended, run_guarded, run_shared};
use crate::lifecycle::managed::Managed;
use crate::lifecycle::report::{HookOutcome, HookReport};
use crate::telemetry::names::Hooks;
use crate::telemetry::record::count;

/// One hook of the application's.
pub(crate) struct Hook {
    pub(crate) name: Arc<str>,
    pub(crate) timeout: Duration,
    pub(crate) work: Box<dyn FnOnce() -> BoxFuture<'static, Result<(), BoxError>> + Send>,
}

/// What the hooks may take together.
pub(crate) fn total_timeout(hooks: &[Hook]) -> Duration {
    let timeouts = hooks.iter().map(|hook| hook.timeout);
    timeouts.fold(Duration::ZERO, Duration::saturating_add)
}

/// Flushes the managed parts, then runs the hooks, each after the one before has ended.
///
/// All of it ends at `time` from now. Flushes get what the hooks' own timeouts leave, at least
/// half of it; one that takes more than an even share of what the ones before have left goes on
/// beside the next. A hook gets its timeout, or what is left.
pub(crate) async fn run_all(
    managed: &[Arc<dyn Managed>],
    hooks: Vec<Hook>,
    time: Duration,
) -> Vec<HookReport> {
    let begun = Instant::now();
    let wanted = total_timeout(&hooks);
    let flushed_by = begun + (time - wanted.min(time / 2));
    let ends = begun + time;

    let flush = |part: &Arc<dyn Managed>| {
        let (name, part) = (Arc::from(part.name()), part.clone());
        run_one(name, async move { part.flush().await }, flushed_by)
    };
    let mut reports = run_shared(managed.iter().map(flush).collect(), flushed_by).await;
    for Hook {
        name,
        timeout,
        work,
    } in hooks
    {
        let deadline = ends.min(Instant::now() + timeout.min(time));
        // Called inside the task, so that a panic of the closure itself is kept in too.
        let work = async move { work().await };
        reports.push(run_one(name, work, deadline).await);
    }
    reports
}

/// Closes the managed parts until `deadline`; they begin in order, as flushes do.
pub(crate) async fn close_all(managed: &[Arc<dyn Managed>], deadline: Instant) {
    let close = |part: &Arc<dyn Managed>| {
        let (part, closing) = (part.clone(), part.clone());
        async move {
            match run_guarded(async move { closing.close().await }, deadline).await {
                Ended::Returned(()) => {}
                ended => tracing::warn!(name = part.name(), ?ended, "closing did not end well"),
            }
        }
    };
    run_shared(managed.iter().map(close).collect(), deadline).await;
}

async fn run_one(
    name: Arc<str>,
    work: impl Future<Output = Result<(), BoxError>> + Send + 'static,
    deadline: Instant,
) -> HookReport {
    let begun = Instant::now();
    let span = tracing::debug_span!("lifecycle.hook", %name);
    let outcome = match run_guarded(work.instrument(span), deadline).await {
        Ended::Returned(Ok(())) => HookOutcome::Done,
        Ended::Returned(Err(error)) => {
            tracing::error!(%name, %error, "hook failed");
            HookOutcome::Failed
        }
        Ended::Panicked => {
            tracing::error!(%name, "hook panicked");
            HookOutcome::Failed
        }
        Ended::TimedOut => {
            tracing::error!(%name, "hook was cut off");
            HookOutcome::TimedOut
        }
    };
    count(match outcome {
        HookOutcome::Done => Hooks::Done,
        HookOutcome::Failed => Hooks::Failed,
        HookOutcome::TimedOut => Hooks::TimedOut,
    });
    HookReport {
        name,
        outcome,
        took: begun.elapsed(),
    }
}
